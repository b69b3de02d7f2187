//! Divide and conquer: a merge sort whose halves are sorted side by side, beside the same one in sequence.

use std::time::{Duration, Instant};

use anio::parallel::Pool;
use tokio::runtime::Runtime;

use crate::Result;
use crate::report::Sample;

const N_NUMBERS: usize = 10_000_000;

/// So often each of the two has its turn; its best counts.
const N_TURNS: usize = 3;

/// Parts of fewer numbers are not worth a fork.
const FORK_FROM: usize = 8_192;

/// Parts of fewer numbers are sorted by the standard library, in both.
const MERGE_FROM: usize = 32;

/// How the two halves of a part are sorted.
#[derive(Clone, Copy)]
enum Halves {
    SideBySide,
    OneAfterTheOther,
}

pub(in crate::workload) fn par_sort() -> Result<Sample> {
    let (runtime, pool) = (Runtime::new()?, Pool::new(0)?);
    let numbers = numbers();
    let time = |halves: Halves| -> Result<Duration> {
        let mut numbers = numbers.clone();
        let begun = Instant::now();
        let sorted = match halves {
            Halves::SideBySide => runtime.block_on(pool.cpu(move || {
                sort(&mut numbers, halves);
                numbers
            }))?,
            Halves::OneAfterTheOther => {
                sort(&mut numbers, halves);
                numbers
            }
        };
        let time = begun.elapsed();
        assert!(sorted.is_sorted(), "it is a sort");
        Ok(time)
    };
    let mut best = [Duration::MAX; 2];
    for _ in 0..N_TURNS {
        best = [best[0].min(time(Halves::SideBySide)?), best[1].min(time(Halves::OneAfterTheOther)?)];
    }
    let [figure, limit] = best.map(|time| time.as_secs_f64() / N_NUMBERS as f64 * 1e9);
    let details = vec![("times_as_fast", limit / figure), ("threads", pool.n_threads() as f64)];
    Ok(Sample { figure, limit: Some(limit), details })
}

/// Numbers without an order, the same each time.
fn numbers() -> Vec<u32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    };
    (0..N_NUMBERS).map(|_| next()).collect()
}

fn sort(numbers: &mut [u32], halves: Halves) {
    let mut room = vec![0; numbers.len()];
    sort_part(numbers, &mut room, halves);
}

fn sort_part(numbers: &mut [u32], room: &mut [u32], halves: Halves) {
    if numbers.len() < MERGE_FROM {
        return numbers.sort_unstable();
    }
    let middle = numbers.len() / 2;
    let (left, right) = numbers.split_at_mut(middle);
    let (left_room, right_room) = room.split_at_mut(middle);
    if matches!(halves, Halves::SideBySide) && left.len() >= FORK_FROM / 2 {
        rayon::join(|| sort_part(left, left_room, halves), || sort_part(right, right_room, halves));
    } else {
        sort_part(left, left_room, halves);
        sort_part(right, right_room, halves);
    }
    merge(left, right, room);
    numbers.copy_from_slice(room);
}

fn merge(mut left: &[u32], mut right: &[u32], merged: &mut [u32]) {
    for place in merged {
        match (left, right) {
            ([next, rest @ ..], []) => (*place, left) = (*next, rest),
            ([next, rest @ ..], [other, ..]) if next <= other => (*place, left) = (*next, rest),
            (_, [next, rest @ ..]) => (*place, right) = (*next, rest),
            ([], []) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_sort_whatever_the_length() {
        let all = numbers();
        for n in [0, 1, 2, 31, 32, 33, 8_191, 8_192, 100_001] {
            let mut expected = all[..n].to_vec();
            expected.sort_unstable();
            for halves in [Halves::SideBySide, Halves::OneAfterTheOther] {
                let mut sorted = all[..n].to_vec();
                sort(&mut sorted, halves);
                assert!(sorted == expected, "{n} numbers");
            }
        }
    }
}
