//! `partition` over all small cases.

use anio_parallel::partition;

#[test]
fn parts_cover_exactly_and_differ_by_at_most_one() {
    for len in 0..=1000 {
        for n_parts in 1..=16 {
            let parts: Vec<_> = partition(len, n_parts).collect();
            assert_eq!(parts.len(), n_parts.min(len), "{len} in {n_parts}");
            let ends = parts.iter().fold(0, |end, part| {
                assert_eq!(part.start, end, "{len} in {n_parts}");
                part.end
            });
            assert_eq!(ends, len);
            let sizes = || parts.iter().map(ExactSizeIterator::len);
            assert!(sizes().max().unwrap_or(1) - sizes().min().unwrap_or(1) <= 1, "{len} in {n_parts}");
            assert!(sizes().all(|size| size > 0));
        }
    }
}

#[test]
fn extremes_do_not_overflow() {
    assert!(partition(5, 0).eq(partition(5, 1)));
    assert_eq!(partition(usize::MAX, 3).map(|part| part.len()).sum::<usize>(), usize::MAX);
    assert_eq!(partition(3, usize::MAX).len(), 3);
}
