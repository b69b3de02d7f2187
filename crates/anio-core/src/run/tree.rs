//! Where the task runs of a task over pairs stand: a binary tree over a list.
//!
//! The tree of `n` values is kept as a heap is: `n - 1` nodes, which are the task runs, and behind them the
//! values. Node `k` makes one of what stands at `2k + 1` and `2k + 2`; node 0 makes the last. Where `n` is no
//! power of two the leaves lie on two levels: the values begin on the lower one, from the left, and go on
//! on the upper, so that the order of the list is the order of the leaves. No leaf lies deeper than ⌈log₂ n⌉.
//!
//! ```text
//!   5 values      0                    position   0 1 2 3 4 5 6 7 8
//!               ┌─┴──┐                 node       0 1 2 3
//!               1    2                 value              2 3 4 0 1
//!             ┌─┴─┐ ┌┴─┐
//!             3  v2 v3 v4
//!           ┌─┴─┐
//!           v0 v1
//! ```

/// What stands at a position of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// What this task run made.
    Node(u32),
    /// This element of the list.
    Value(u32),
}

/// The two that a node makes one of, in a tree of so many nodes.
pub(super) fn children(node: u32, n_nodes: u32) -> [Place; 2] {
    [2 * node + 1, 2 * node + 2].map(|position| place(position, n_nodes))
}

/// The node that takes what this one made; `None` for the last.
pub(super) fn parent(node: u32) -> Option<u32> {
    node.checked_sub(1).map(|before| before / 2)
}

fn place(position: u32, n_nodes: u32) -> Place {
    if position < n_nodes {
        return Place::Node(position);
    }
    // The first position of the lowest level.
    let n_positions = 2 * n_nodes + 1;
    let lowest = (1 << n_positions.ilog2()) - 1;
    Place::Value(if position >= lowest {
        position - lowest
    } else {
        position - n_nodes + (n_positions - lowest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values under a position, from the left, and how deep they lie.
    fn values(place: Place, n_nodes: u32, depth: u32, found: &mut Vec<(u32, u32)>) {
        match place {
            Place::Value(value) => found.push((value, depth)),
            Place::Node(node) => {
                for child in children(node, n_nodes) {
                    assert!(matches!(child, Place::Value(_)) || parent_of(child) == Some(node));
                    values(child, n_nodes, depth + 1, found);
                }
            }
        }
    }

    fn parent_of(place: Place) -> Option<u32> {
        if let Place::Node(node) = place { parent(node) } else { None }
    }

    #[test]
    fn the_leaves_are_the_list_in_its_order_and_no_deeper_than_its_logarithm() {
        for n_values in 2..=300_u32 {
            let mut found = Vec::new();
            values(Place::Node(0), n_values - 1, 0, &mut found);
            let order: Vec<_> = found.iter().map(|(value, _)| *value).collect();
            assert_eq!(order, (0..n_values).collect::<Vec<_>>());
            let deepest = found.iter().map(|(_, depth)| *depth).max().unwrap();
            assert_eq!(deepest, n_values.next_power_of_two().ilog2(), "{n_values} values");
        }
    }

    #[test]
    fn the_last_has_no_parent() {
        assert_eq!(parent(0), None);
    }

    #[test]
    fn the_widest_tree_fits() {
        let n_nodes = super::super::MAP_WIDTH_MAX as u32 - 1;
        let last = children(n_nodes - 1, n_nodes);
        assert!(matches!(last, [Place::Value(_), Place::Value(_)]), "{last:?}");
    }
}
