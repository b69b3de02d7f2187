//! `par_reduce`.

use anio_parallel::{Error, ParStreamExt, Stage, TryParStreamExt, check};
use futures::{StreamExt, stream};

use crate::MS;
use crate::common::{Count, Numbers, scope};

/// A value that knows from which items it was made, in which shape.
#[derive(Clone, Debug, PartialEq)]
struct Tree {
    depth: u32,
    items: std::ops::Range<u64>,
    shape: u64,
    sum: f64,
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
#[expect(clippy::needless_pass_by_value, reason = "a reduction takes both")]
impl Tree {
    fn leaf(n: u64) -> Self {
        Self { depth: 0, items: n..n + 1, shape: n, sum: 1.0 / (n as f64 + 1.0) }
    }

    fn join(self, right: Self) -> Self {
        assert_eq!(self.items.end, right.items.start, "neighbours with neighbours");
        Self {
            depth: 1 + self.depth.max(right.depth),
            items: self.items.start..right.items.end,
            shape: self.shape.wrapping_mul(31).wrapping_add(right.shape).rotate_left(7),
            sum: self.sum + right.sum,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reduction_is_a_flat_tree_that_is_the_same_for_any_number_of_workers() {
    for n_items in [1, 2, 3, 63, 64, 65, 127, 128, 129, 1000, 10_000_u64] {
        let mut trees = Vec::new();
        for n_workers in [1, 2, 8] {
            let (scope, _token) = scope(n_workers);
            let tree = scope.run(async {
                stream::iter(0..n_items).map(Tree::leaf).par_reduce(n_workers, Tree::join).await
            });
            trees.push(tree.await.unwrap().unwrap());
        }
        assert!(trees.iter().all(|tree| *tree == trees[0]), "{n_items} items");
        assert_eq!(trees[0].items, 0..n_items);
        assert_eq!(trees[0].depth, n_items.next_power_of_two().ilog2(), "{n_items} items");
    }
    assert_eq!(stream::empty::<u64>().par_reduce(1, |a, b| a + b).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reduction_that_fails_panics_or_is_called_off_leaves_nothing_running() {
    let mut random = Numbers(6);
    for round in 0..40 {
        let (scope, token) = scope(2);
        let count = Count::default();
        let (counting, at) = (count.clone(), random.below(500) as usize);
        let f = move |a: u64, b: u64| {
            let _live = counting.begin();
            if counting.begun() > at {
                match round % 3 {
                    0 => token.cancel(),
                    1 => return Err(Error::from_cause("no")),
                    _ => panic!("no"),
                }
                check()?;
            }
            Ok(a + b)
        };
        let result = scope.run(async {
            stream::iter(0..2000).map(Ok::<_, Error>).try_par_reduce(Stage::new("sum", 3), f).await
        });
        let error = result.await.unwrap_err();
        assert_eq!(count.live(), 0);
        count.settle("par_reduce").await;
        match round % 3 {
            0 => assert!(error.is_cancelled(), "{error:?}"),
            1 => assert_eq!((error.stage(), error.cause::<Error>().is_none()), (Some("sum"), true)),
            _ => assert!(matches!(error, Error::Panicked { .. }), "{error:?}"),
        }
    }
    let bad_source = stream::iter([Ok(1), Err("bad")]).try_par_reduce(2, |a, b| Ok::<_, Error>(a + b));
    assert_eq!(bad_source.await.unwrap_err().to_string(), "bad");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reduction_that_is_dropped_stops() {
    let count = Count::default();
    let counting = count.clone();
    let endless = stream::iter(0..1_000_000_u64).map(Ok::<_, Error>).try_par_reduce(
        2,
        move |_, _| -> Result<u64, Error> {
            let _live = counting.begin();
            loop {
                check()?;
            }
        },
    );
    assert!(tokio::time::timeout(20 * MS, endless).await.is_err());
    count.settle("par_reduce").await;
}
