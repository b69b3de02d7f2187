//! All items into one, as a tree whose shape depends on their number alone.
//!
//! Items are cut into leaves of a fixed size, a power of two; a leaf is reduced by one job. Partial
//! results are combined pairwise: number 2p of a level with number 2p + 1 to number p of the next. What
//! has no partner at the end is combined from the right. Inside a leaf the shape is the same, so that the
//! leaves do not show in it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, Stream, StreamExt};

use super::job::{Job, Starter};
use super::source::failing;
use crate::carrier::Carrier;
use crate::error::{Cause, Error};
use crate::stage::Stage;

/// Items per leaf: enough that a job costs little beside them, even where an item is an addition.
const LEAF: usize = 64;

/// Level and number of a partial result.
type Place = (u32, u64);

pub(super) fn reduce<'a, S, T, X, F>(
    source: S,
    stage: Stage,
    f: F,
) -> impl Future<Output = Result<Option<T>, Error>> + Send + use<'a, S, T, X, F>
where
    S: Stream<Item = Result<T, X>> + Send + 'a,
    T: Send + 'static,
    X: Into<Cause>,
    F: Fn(T, T) -> Result<T, Error> + Send + Sync + 'static,
{
    let inside = Carrier::current().child();
    let mut source = failing(source);
    async move {
        let guard = inside.scope().token().clone().drop_guard();
        let token = inside.scope().token().clone();
        let mut tree = Tree::new(inside, &stage, f);
        let result = tokio::select! {
            result = tree.grow(&mut source) => result,
            () = token.cancelled() => Err(Error::Cancelled),
        };
        // Nothing runs after a success; after a failure, what does is called off and waited for.
        drop(guard);
        while tree.running.next().await.is_some() {}
        result
    }
}

struct Tree<T, F> {
    starter: Starter,
    stage: Option<Arc<str>>,
    n_workers: usize,
    f: Arc<F>,
    running: FuturesUnordered<Placed<T>>,
    /// Those without a partner so far: at most one per level and job.
    waiting: HashMap<Place, T>,
    /// Two neighbours, for the place above them.
    pairs: VecDeque<(Place, T, T)>,
    n_leaves: u64,
}

type Placed<T> =
    futures::future::Map<Job<T>, Box<dyn FnOnce(Result<T, Error>) -> Result<(Place, T), Error> + Send>>;

impl<T, F> Tree<T, F>
where
    T: Send + 'static,
    F: Fn(T, T) -> Result<T, Error> + Send + Sync + 'static,
{
    fn new(inside: Carrier, stage: &Stage, f: F) -> Self {
        Self {
            starter: Starter::new(inside, stage.name.clone()),
            stage: stage.name.clone(),
            n_workers: stage.n_workers,
            f: Arc::new(f),
            running: FuturesUnordered::new(),
            waiting: HashMap::new(),
            pairs: VecDeque::new(),
            n_leaves: 0,
        }
    }

    async fn grow(
        &mut self,
        source: &mut (impl Stream<Item = Result<T, Error>> + Unpin),
    ) -> Result<Option<T>, Error> {
        let (mut leaf, mut is_open) = (Vec::new(), true);
        loop {
            while self.running.len() < self.n_workers
                && let Some((place, left, right)) = self.pairs.pop_front()
            {
                self.combine(place, left, right);
            }
            let has_room = self.running.len() < self.n_workers;
            if !is_open && self.running.is_empty() {
                return self.trim().await;
            }
            tokio::select! {
                biased;
                Some(done) = self.running.next(), if !self.running.is_empty() => self.settle(done?),
                item = source.next(), if is_open && has_room => {
                    match item {
                        Some(item) => leaf.push(item?),
                        None => is_open = false,
                    }
                    if leaf.len() == LEAF || !is_open && !leaf.is_empty() {
                        self.reduce_leaf(std::mem::take(&mut leaf));
                    }
                }
            }
        }
    }

    fn reduce_leaf(&mut self, items: Vec<T>) {
        let (f, is_parallel) = (Arc::clone(&self.f), self.n_workers > 1);
        let place = (0, self.n_leaves);
        self.n_leaves += 1;
        self.start(place, move || {
            let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
            reduce_slice(&mut items, &*f, is_parallel.then(Carrier::current).as_ref())
        });
    }

    fn combine(&mut self, place: Place, left: T, right: T) {
        let f = Arc::clone(&self.f);
        self.start(place, move || f(left, right));
    }

    fn start(&mut self, place: Place, work: impl FnOnce() -> Result<T, Error> + Send + 'static) {
        let first_item = (place.1 << place.0) * LEAF as u64;
        let job = self.starter.compute(first_item, work);
        let stage = self.stage.clone();
        let placed = move |result: Result<T, Error>| match result {
            Ok(value) => Ok((place, value)),
            Err(error) => Err(error.at(stage.as_ref(), Some(first_item))),
        };
        self.running.push(job.map(Box::new(placed)));
    }

    /// Looks for the partner of a partial result.
    fn settle(&mut self, ((level, number), value): (Place, T)) {
        match self.waiting.remove(&(level, number ^ 1)) {
            Some(partner) => {
                let (left, right) = if number % 2 == 0 { (value, partner) } else { (partner, value) };
                self.pairs.push_back(((level + 1, number / 2), left, right));
            }
            None => drop(self.waiting.insert((level, number), value)),
        }
    }

    /// Combines what has no partner, at most one per level, from the right: the lowest level is the last
    /// of the items.
    async fn trim(&mut self) -> Result<Option<T>, Error> {
        let mut rest: Vec<(Place, T)> = self.waiting.drain().collect();
        rest.sort_unstable_by_key(|(place, _)| *place);
        let mut rest = rest.into_iter();
        let Some((_, mut right)) = rest.next() else { return Ok(None) };
        for (place, left) in rest {
            self.combine(place, left, right);
            // The job that was just started, the only one.
            right = self.running.next().await.ok_or(Error::Cancelled)??.1;
        }
        Ok(Some(right))
    }
}

/// Reduces a leaf. `here` is what goes along to the other threads of the pool; without it, one does all.
fn reduce_slice<T, F>(items: &mut [Option<T>], f: &F, here: Option<&Carrier>) -> Result<T, Error>
where
    T: Send,
    F: Fn(T, T) -> Result<T, Error> + Send + Sync,
{
    if let [item] = items {
        return Ok(item.take().expect("each item is taken once"));
    }
    let (left, right) = items.split_at_mut(items.len().next_power_of_two() / 2);
    let (left, right) = match here {
        None => (reduce_slice(left, f, None), reduce_slice(right, f, None)),
        Some(here) => {
            let on_any_thread = |half| move || here.run(|| reduce_slice(half, f, Some(here)));
            rayon::join(on_any_thread(left), on_any_thread(right))
        }
    };
    crate::check()?;
    f(left?, right?)
}
