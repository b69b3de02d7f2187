//! A function over all items of a slice, a vector or any other indexed parallel iterator, on all threads
//! of the pool: order kept, each item in a span of its own.

use std::sync::{Mutex, PoisonError};

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use crate::carrier::Carrier;
use crate::error::{Cause, Error};
use crate::progress::Meter;

/// Maps over items on the pool of this scope.
///
/// For everything that rayon can split by position: vectors (by value), slices and references to vectors
/// (by reference), arrays, ranges, and iterators made of these (`a.par_iter().zip(&b)`).
///
/// These are plain functions for code that computes: a task's plain `fn`, or the inside of
/// [`cpu`](crate::cpu()). They block the thread that calls them (on the pool: it works along), so out of
/// async code write `try_cpu(move || items.par_map(f)).await?`.
///
/// Each item runs in a span `item` (level info, target `anio_parallel::item`, field `index`), a child of
/// the span that is current where the helper is called, on whichever thread. `anio_parallel::item=off` in
/// a filter takes these spans away.
///
/// ```
/// use anio_parallel::ParMap;
///
/// let prices = vec![3.0, 4.5];
/// let doubled = prices.as_slice().par_map(|price| price * 2.0)?;
/// assert_eq!(doubled, [6.0, 9.0]);
/// # Ok::<(), anio_parallel::Error>(())
/// ```
pub trait ParMap: IntoParallelIterator<Iter: IndexedParallelIterator> + Sized {
    /// The results in the order of the items.
    ///
    /// # Errors
    /// [`Error::Panicked`], with the item's index, when the function panics; [`Error::Cancelled`] when
    /// the scope is called off. Either way items that have not begun never do, and it returns when those
    /// that have begun are done.
    fn par_map<R, F>(self, f: F) -> Result<Vec<R>, Error>
    where
        R: Send,
        F: Fn(Self::Item) -> R + Send + Sync,
    {
        each("par_map", self, |item| Ok(f(item)))
    }

    /// The results in the order of the items, unless one fails.
    ///
    /// # Errors
    /// As for [`ParMap::par_map`], and [`Error::Failed`], with the item's index, when the function
    /// returns an error. That stops the rest: of several that fail before they stop, the one with the
    /// lowest index is returned.
    fn try_par_map<R, E, F>(self, f: F) -> Result<Vec<R>, Error>
    where
        R: Send,
        E: Into<Cause>,
        F: Fn(Self::Item) -> Result<R, E> + Send + Sync,
    {
        each("try_par_map", self, |item| f(item).map_err(Error::from_cause))
    }

    /// What became of every item, in their order: a failure or a panic stops no other. Items that have
    /// not begun when the scope is called off are [`Error::Cancelled`].
    ///
    /// ```
    /// use anio_parallel::ParMap;
    ///
    /// let settled = ["1", "x", "3"].par_map_settled(|text| text.parse::<u32>());
    /// assert_eq!(settled[1].as_ref().unwrap_err().index(), Some(1));
    /// assert_eq!(settled.into_iter().filter_map(Result::ok).sum::<u32>(), 4);
    /// ```
    fn par_map_settled<R, E, F>(self, f: F) -> Vec<Result<R, Error>>
    where
        R: Send,
        E: Into<Cause>,
        F: Fn(Self::Item) -> Result<R, E> + Send + Sync,
    {
        settle(self, |item| f(item).map_err(Error::from_cause))
    }
}

impl<I: IntoParallelIterator<Iter: IndexedParallelIterator>> ParMap for I {}

fn each<I, R>(
    what: &str,
    items: I,
    f: impl Fn(I::Item) -> Result<R, Error> + Send + Sync,
) -> Result<Vec<R>, Error>
where
    I: IntoParallelIterator<Iter: IndexedParallelIterator>,
    R: Send,
{
    let (items, here) = (items.into_par_iter(), Carrier::current());
    let (n_items, inside) = (items.len(), here.child());
    let meter = Meter::start(here.scope(), what, Some(n_items as u64));
    let first = FirstError::default();
    let one = |index: u64, item| {
        // The child's token: called off from outside, or by a sibling that failed.
        inside.scope().check().ok()?;
        match inside.run_item(None, index, || f(item)).flatten() {
            Ok(value) => {
                meter.add_one();
                Some(value)
            }
            Err(error) => {
                first.note(index, error);
                inside.scope().token().cancel();
                None
            }
        }
    };
    let results: Vec<R> = here.scope().pool().enter_threads(|| {
        let items = items.enumerate();
        items.map_init(|| inside.enter(), |_, (index, item)| one(index as u64, item)).while_some().collect()
    });
    match first.into_error() {
        Some(error) => Err(error),
        None if results.len() < n_items => Err(Error::Cancelled),
        None => Ok(results),
    }
}

fn settle<I, R>(items: I, f: impl Fn(I::Item) -> Result<R, Error> + Send + Sync) -> Vec<Result<R, Error>>
where
    I: IntoParallelIterator<Iter: IndexedParallelIterator>,
    R: Send,
{
    let (items, here) = (items.into_par_iter(), Carrier::current());
    let inside = here.child();
    let meter = Meter::start(here.scope(), "par_map_settled", Some(items.len() as u64));
    let one = |index: u64, item| {
        inside.scope().check()?;
        let result = inside.run_item(None, index, || f(item)).flatten();
        meter.add_one();
        result.map_err(|error| error.at(None, Some(index)))
    };
    here.scope().pool().enter_threads(|| {
        let items = items.enumerate();
        items.map_init(|| inside.enter(), |_, (index, item)| one(index as u64, item)).collect()
    })
}

/// Of the errors that siblings note, the one to return: a failure before a cancellation, which is only
/// its echo, and then the lowest index.
#[derive(Default)]
struct FirstError(Mutex<Option<(bool, u64, Error)>>);

impl FirstError {
    fn note(&self, index: u64, error: Error) {
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rank = (error.is_cancelled(), index);
        if first.as_ref().is_none_or(|(is_cancelled, index, _)| rank < (*is_cancelled, *index)) {
            *first = Some((rank.0, rank.1, error.at(None, Some(index))));
        }
    }

    fn into_error(self) -> Option<Error> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).map(|(_, _, error)| error)
    }
}
