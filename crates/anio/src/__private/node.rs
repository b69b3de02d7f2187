//! The graph of tasks as constants, so that rustc itself finds what is wrong with it.
//!
//! `#[workflow]` sees a whole module and checks it by itself. What it cannot see (tasks named by path,
//! and the free functions of `workflow!`) is known only to rustc; there each task carries a [`Node`] that
//! refers to the nodes of the tasks that it names by path, and constant evaluation walks them. A
//! finding is a panic of that evaluation, whose text becomes the compiler's message.

use std::collections::{HashSet, VecDeque};

use anio_core::task::TaskDefinition;

/// A name with its hash, which is what constant evaluation compares.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// The name.
    pub text: &'static str,
    hash: u64,
}

impl Name {
    /// Takes a name. (FNV-1a, 64 bits.)
    pub const fn new(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let (mut hash, mut i) = (0xcbf2_9ce4_8422_2325_u64, 0);
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
            i += 1;
        }
        Self { text, hash }
    }

    const fn is(&self, other: &Self) -> bool {
        self.hash == other.hash && equal(self.text, other.text)
    }
}

/// A task among the tasks of the program.
#[derive(Debug)]
pub struct Node {
    /// Its name in its workflow.
    pub name: Name,
    /// Where it is defined: module, name, file and line; what tells two tasks of one name apart.
    pub path: &'static str,
    /// The task as it is put into a workflow.
    pub definition: fn() -> TaskDefinition,
    /// The tasks that it depends on.
    pub depends: Refers,
    /// The tasks that its condition asks about.
    pub asks: Refers,
}

/// Other tasks that a task refers to, numbered: first those by path, then those by name.
#[derive(Debug)]
pub struct Refers {
    /// Those by path.
    pub tasks: &'static [&'static Node],
    /// Those by name.
    pub names: &'static [Name],
}

impl Refers {
    const fn len(&self) -> usize {
        self.tasks.len() + self.names.len()
    }

    const fn name(&self, i: usize) -> &'static Name {
        if i < self.tasks.len() { &self.tasks[i].name } else { &self.names[i - self.tasks.len()] }
    }
}

/// The definitions of these tasks and of all that they depend on by path, each once, those of the list first.
pub(super) fn definitions(tasks: &[&'static Node]) -> Vec<TaskDefinition> {
    let mut seen = HashSet::new();
    let mut open: VecDeque<&'static Node> = tasks.iter().copied().collect();
    let mut definitions = Vec::with_capacity(tasks.len());
    while let Some(node) = open.pop_front() {
        if seen.insert((node.name.text, node.path)) {
            definitions.push((node.definition)());
            open.extend(node.depends.tasks);
        }
    }
    definitions
}

/// The most tasks that are checked while compiling; what is beyond is checked when the workflow is
/// built.
const CLOSURE_MAX: usize = 4096;

/// The slots of the hash table; with twice as many as tasks, a name is found in a few steps.
const SLOTS: usize = 2 * CLOSURE_MAX;

/// The most dependencies that are followed to see what comes before what; beyond, too, it is seen when the
/// workflow is built.
const EDGES_MAX: usize = 4 * CLOSURE_MAX;

/// Tasks and all that they depend on by path.
#[derive(Debug)]
pub struct Closure {
    nodes: [Option<&'static Node>; CLOSURE_MAX],
    n_nodes: usize,
    /// A hash table with linear probing: positions in `nodes`, plus one; 0 is an empty slot.
    slots: [u16; SLOTS],
    /// The positions of what each task depends on, looked up once for all walks through the graph. What is
    /// not in the workflow is left out.
    edges: [u16; EDGES_MAX],
    /// Where the edges of each task end, and those of the next begin.
    ends: [usize; CLOSURE_MAX],
}

impl Closure {
    const fn get(&self, i: usize) -> &'static Node {
        self.nodes[i].expect("there is a node at every position below the count")
    }

    /// The position of the first task of this name.
    const fn position(&self, name: &Name) -> Option<usize> {
        let mut slot = name.hash as usize % SLOTS;
        while self.slots[slot] != 0 {
            let position = self.slots[slot] as usize - 1;
            if self.get(position).name.is(name) {
                return Some(position);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }

    const fn position_of(&self, node: &Node) -> Option<usize> {
        let mut slot = node.name.hash as usize % SLOTS;
        while self.slots[slot] != 0 {
            let position = self.slots[slot] as usize - 1;
            let other = self.get(position);
            if other.name.is(&node.name) && equal(other.path, node.path) {
                return Some(position);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }

    const fn push(&mut self, node: &'static Node) {
        let mut slot = node.name.hash as usize % SLOTS;
        while self.slots[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        self.nodes[self.n_nodes] = Some(node);
        self.n_nodes += 1;
        self.slots[slot] = self.n_nodes as u16;
    }

    const fn n_edges(&self) -> usize {
        if self.n_nodes == 0 { 0 } else { self.ends[self.n_nodes - 1] }
    }

    const fn find_edges(&mut self) {
        let (mut i, mut n_edges) = (0, 0);
        while i < self.n_nodes {
            let depends = &self.get(i).depends;
            let mut j = 0;
            while j < depends.len() && n_edges < EDGES_MAX {
                if let Some(dependency) = self.referred(depends, j) {
                    self.edges[n_edges] = dependency as u16;
                    n_edges += 1;
                }
                j += 1;
            }
            self.ends[i] = n_edges;
            i += 1;
        }
    }

    /// The position of the task number `i` of these.
    const fn referred(&self, tasks: &Refers, i: usize) -> Option<usize> {
        if i < tasks.tasks.len() { self.position_of(tasks.tasks[i]) } else { self.position(tasks.name(i)) }
    }
}

/// These tasks, in this order, followed by all that they depend on by path.
#[expect(clippy::large_stack_arrays, reason = "it is evaluated by the compiler")]
pub const fn closure(tasks: &[&'static Node]) -> Closure {
    let mut all = Closure {
        nodes: [None; CLOSURE_MAX],
        n_nodes: 0,
        slots: [0; SLOTS],
        edges: [0; EDGES_MAX],
        ends: [0; CLOSURE_MAX],
    };
    while all.n_nodes < tasks.len() && all.n_nodes < CLOSURE_MAX {
        all.push(tasks[all.n_nodes]);
    }
    let mut i = 0;
    while i < all.n_nodes {
        let dependencies = all.get(i).depends.tasks;
        let mut j = 0;
        while j < dependencies.len() && all.n_nodes < CLOSURE_MAX {
            if all.position_of(dependencies[j]).is_none() {
                all.push(dependencies[j]);
            }
            j += 1;
        }
        i += 1;
    }
    all.find_edges();
    all
}

/// Checks the task at this position: that its name is its own, and that what it names is there, once.
///
/// # Panics
/// With what is wrong.
#[track_caller]
pub const fn check_task(all: &Closure, i: usize) {
    if i >= all.n_nodes || all.n_nodes == CLOSURE_MAX {
        return;
    }
    let node = all.get(i);
    if let Some(first) = all.position(&node.name)
        && first < i
    {
        let first = all.get(first);
        if equal(first.path, node.path) {
            Text::new("task `").push(node.name.text).push("` is listed twice").fail();
        }
        Text::new("two tasks have the name `")
            .push(node.name.text)
            .push("`: ")
            .push(first.path)
            .push(" and ")
            .push(node.path)
            .push("; give one of them another by `#[task(name = \"..\")]`")
            .fail();
    }
    let mut j = 0;
    while j < node.depends.len() {
        let name = node.depends.name(j);
        let Some(dependency) = all.referred(&node.depends, j) else {
            let text = Text::new("task `")
                .push(node.name.text)
                .push("` depends on `")
                .push(name.text)
                .push("`, which is not in this workflow");
            match nearest(all, name.text) {
                Some(nearest) => text.push("; did you mean `").push(nearest).push("`?").fail(),
                None => text.push("; add it to `tasks`, or correct the name").fail(),
            }
        };
        let mut k = 0;
        while k < j {
            if matches!(all.referred(&node.depends, k), Some(other) if other == dependency) {
                Text::new("task `")
                    .push(node.name.text)
                    .push("` depends on `")
                    .push(name.text)
                    .push("` twice; once is enough")
                    .fail();
            }
            k += 1;
        }
        j += 1;
    }
}

/// Checks the task at this position and all that its condition asks about.
///
/// # Panics
/// With what is wrong.
#[track_caller]
pub const fn check_all_of(all: &Closure, i: usize) {
    check_task(all, i);
    if i >= all.n_nodes {
        return;
    }
    let mut j = 0;
    while j < all.get(i).asks.len() {
        check_asked(all, i, j);
        j += 1;
    }
}

/// Checks that the task which the condition of another asks about, as its number `j`, comes before it.
///
/// # Panics
/// With what is wrong.
#[track_caller]
pub const fn check_asked(all: &Closure, i: usize, j: usize) {
    if i >= all.n_nodes || all.n_nodes == CLOSURE_MAX || all.n_edges() == EDGES_MAX {
        return;
    }
    let node = all.get(i);
    let name = node.asks.name(j).text;
    let text = Text::new("the condition of task `").push(node.name.text).push("` asks about `").push(name);
    let by_path = j < node.asks.tasks.len();
    match all.referred(&node.asks, j) {
        Some(asked) if is_before(all, asked, i) => {}
        None if !by_path => {
            let text = text.push("`, which is not in this workflow");
            match nearest(all, name) {
                Some(nearest) => text.push("; did you mean `").push(nearest).push("`?").fail(),
                None => text.push("; correct the name").fail(),
            }
        }
        Some(_) | None => {
            let text = text.push("`, which does not come before it; add ");
            if by_path {
                text.push("`after(").push(name).push(")`").fail();
            }
            text.push("it to `dependencies`").fail();
        }
    }
}

/// Whether a task comes before another; near ones are found first, since most conditions ask about those.
#[expect(clippy::large_stack_arrays, reason = "it is evaluated by the compiler")]
const fn is_before(all: &Closure, ancestor: usize, i: usize) -> bool {
    let (mut seen, mut open) = ([false; CLOSURE_MAX], [0; CLOSURE_MAX]);
    let (mut n_open, mut next) = (1, 0);
    open[0] = i;
    while next < n_open {
        let node = open[next];
        next += 1;
        let mut edge = if node == 0 { 0 } else { all.ends[node - 1] };
        while edge < all.ends[node] {
            let before = all.edges[edge] as usize;
            if before == ancestor {
                return true;
            }
            if !seen[before] {
                seen[before] = true;
                open[n_open] = before;
                n_open += 1;
            }
            edge += 1;
        }
    }
    false
}

/// Checks what [`check_all_of`] does for the tasks behind the first `n_checked`, and that no tasks wait
/// for one another.
///
/// # Panics
/// With what is wrong.
#[track_caller]
#[expect(clippy::large_stack_arrays, reason = "it is evaluated by the compiler")]
pub const fn check_rest(all: &Closure, n_checked: usize) {
    let mut i = n_checked;
    while i < all.n_nodes {
        check_all_of(all, i);
        i += 1;
    }
    let mut walk =
        Walk { state: [State::New; CLOSURE_MAX], path: [0; CLOSURE_MAX], n_path: 0, next: [0; CLOSURE_MAX] };
    let mut i = 0;
    while i < all.n_nodes {
        if let Some(start) = walk.cycle_from(all, i) {
            let mut text = Text::new("the tasks wait for one another: ");
            // The walk went from dependants to dependencies; it is told the way the data flows.
            let mut j = walk.n_path;
            while j > start {
                j -= 1;
                text = text.push("`").push(all.get(walk.path[j]).name.text).push("` -> ");
            }
            text.push("`").push(all.get(walk.path[walk.n_path - 1]).name.text).push("`").fail();
        }
        i += 1;
    }
}

#[derive(Clone, Copy)]
enum State {
    New,
    Open,
    Done,
}

struct Walk {
    state: [State; CLOSURE_MAX],
    path: [usize; CLOSURE_MAX],
    n_path: usize,
    /// The edge of each task that is followed next.
    next: [usize; CLOSURE_MAX],
}

impl Walk {
    /// Depth first, in a loop, since the compiler bounds how deep calls may nest; gives where on the path the
    /// cycle begins.
    const fn cycle_from(&mut self, all: &Closure, i: usize) -> Option<usize> {
        if matches!(self.state[i], State::New) {
            self.enter(all, i);
        }
        while self.n_path > 0 {
            let node = self.path[self.n_path - 1];
            if self.next[node] == all.ends[node] {
                self.state[node] = State::Done;
                self.n_path -= 1;
                continue;
            }
            let dependency = all.edges[self.next[node]] as usize;
            self.next[node] += 1;
            match self.state[dependency] {
                State::Done => {}
                State::New => self.enter(all, dependency),
                State::Open => {
                    let mut start = 0;
                    while self.path[start] != dependency {
                        start += 1;
                    }
                    return Some(start);
                }
            }
        }
        None
    }

    const fn enter(&mut self, all: &Closure, i: usize) {
        self.state[i] = State::Open;
        self.path[self.n_path] = i;
        self.n_path += 1;
        self.next[i] = if i == 0 { 0 } else { all.ends[i - 1] };
    }
}

/// The longest message; what is beyond is cut.
const TEXT_BYTES_MAX: usize = 4096;

/// A message that constant evaluation puts together.
struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    n_bytes: usize,
}

impl Text {
    const fn new(text: &str) -> Self {
        Self { bytes: [0; TEXT_BYTES_MAX], n_bytes: 0 }.push(text)
    }

    const fn push(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        if self.n_bytes + text.len() <= TEXT_BYTES_MAX {
            let mut i = 0;
            while i < text.len() {
                self.bytes[self.n_bytes] = text[i];
                self.n_bytes += 1;
                i += 1;
            }
        }
        self
    }

    #[track_caller]
    const fn fail(&self) -> ! {
        let (bytes, _) = self.bytes.split_at(self.n_bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => panic!("{}", text),
            Err(_) => panic!("the workflow is wrong"),
        }
    }
}

const fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// The task whose name is nearest to this one, when it is near enough to be a slip of the finger.
const fn nearest(all: &Closure, name: &str) -> Option<&'static str> {
    let mut best: Option<(usize, &'static str)> = None;
    let mut i = 0;
    while i < all.n_nodes {
        let candidate = all.get(i).name.text;
        let distance = edit_distance(name.as_bytes(), candidate.as_bytes());
        let longer = if name.len() > candidate.len() { name.len() } else { candidate.len() };
        let better = match best {
            Some((least, _)) => distance < least,
            None => true,
        };
        if better && distance <= longer.div_ceil(3) {
            best = Some((distance, candidate));
        }
        i += 1;
    }
    match best {
        Some((_, name)) => Some(name),
        None => None,
    }
}

/// Levenshtein distance in bytes, with swaps of neighbours counted as one.
const fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    let mut rows = [[0_usize; 256]; 3];
    let mut j = 0;
    while j <= b.len() {
        rows[0][j] = j;
        j += 1;
    }
    let mut i = 1;
    while i <= a.len() {
        let (row, above, above2) = (i % 3, (i + 2) % 3, (i + 1) % 3);
        rows[row][0] = i;
        let mut j = 1;
        while j <= b.len() {
            let mut least = rows[above][j - 1] + (a[i - 1] != b[j - 1]) as usize;
            if rows[above][j] + 1 < least {
                least = rows[above][j] + 1;
            }
            if rows[row][j - 1] + 1 < least {
                least = rows[row][j - 1] + 1;
            }
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped && rows[above2][j - 2] + 1 < least {
                least = rows[above2][j - 2] + 1;
            }
            rows[row][j] = least;
            j += 1;
        }
        i += 1;
    }
    rows[a.len() % 3][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_slips_of_the_finger() {
        for (a, b, distance) in
            [("", "", 0), ("load", "load", 0), ("laod", "load", 1), ("extrct", "extract", 1), ("a", "bcd", 3)]
        {
            assert_eq!(edit_distance(a.as_bytes(), b.as_bytes()), distance, "{a} {b}");
        }
    }
}
