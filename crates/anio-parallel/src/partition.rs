//! Cutting a length into parts.

use std::ops::Range;

/// Cuts `0..len` into at most `n_parts` ranges, in order and without gaps, whose sizes differ by at most
/// one. No range is empty: fewer items than parts give one part per item. 0 parts count as 1.
///
/// ```
/// use anio_parallel::partition;
///
/// assert_eq!(partition(10, 4).collect::<Vec<_>>(), [0..3, 3..6, 6..8, 8..10]);
/// assert_eq!(partition(2, 4).collect::<Vec<_>>(), [0..1, 1..2]);
/// assert_eq!(partition(0, 4).count(), 0);
/// ```
pub fn partition(len: usize, n_parts: usize) -> impl ExactSizeIterator<Item = Range<usize>> + Clone {
    let n_parts = n_parts.max(1).min(len);
    // With no part nobody asks for a range.
    let (size, n_larger) = (len / n_parts.max(1), len % n_parts.max(1));
    (0..n_parts).map(move |part| {
        let start = part * size + part.min(n_larger);
        start..start + size + usize::from(part < n_larger)
    })
}
