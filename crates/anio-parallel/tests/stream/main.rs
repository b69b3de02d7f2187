//! The parallel forms of streams.

#[path = "../common/mod.rs"]
mod common;

mod branches;
mod forms;
mod order;
mod reduce;

use std::time::Duration;

use anio_parallel::{Error, ParStreamExt, Stage, TryParStreamExt, gather, gather_ordered, stream::Numbered};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};

const MS: Duration = Duration::from_millis(1);

type Results = BoxStream<'static, Result<u64, Error>>;

/// Every form that calls a function per item, as one stream of results.
const FORMS: [&str; 10] = [
    "par_then",
    "par_then_unordered",
    "par_map",
    "par_map_unordered",
    "try_par_then",
    "try_par_then_unordered",
    "try_par_map",
    "try_par_map_unordered",
    "scatter_gather",
    "scatter_gather_ordered",
];

/// Applies one of the forms. `f` runs on the pool or, with a yield before it, on tokio.
fn apply<S, F>(form: &str, source: S, stage: impl Into<Stage>, f: F) -> Results
where
    S: Stream<Item = u64> + Send + 'static,
    F: Fn(u64) -> Result<u64, Error> + Clone + Send + Sync + 'static,
{
    let stage = stage.into();
    let results = source.map(Ok::<_, Error>);
    let then = {
        let f = f.clone();
        move |n| {
            let f = f.clone();
            async move {
                tokio::task::yield_now().await;
                f(n)
            }
        }
    };
    let per_shard = {
        let f = f.clone();
        move |item: Numbered<u64>| item.try_map(&f)
    };
    let flat =
        |results: BoxStream<'static, Result<Result<u64, Error>, Error>>| results.map(Result::flatten).boxed();
    match form {
        "par_then" => flat(results.map(Result::unwrap).par_then(stage, then)),
        "par_then_unordered" => flat(results.map(Result::unwrap).par_then_unordered(stage, then)),
        "par_map" => flat(results.map(Result::unwrap).par_map(stage, f)),
        "par_map_unordered" => flat(results.map(Result::unwrap).par_map_unordered(stage, f)),
        "try_par_then" => results.try_par_then(stage, then),
        "try_par_then_unordered" => results.try_par_then_unordered(stage, then),
        "try_par_map" => results.try_par_map(stage, f),
        "try_par_map_unordered" => results.try_par_map_unordered(stage, f),
        _ => {
            let shards = results.try_scatter(3).into_iter();
            let worked = shards.map(move |shard| shard.try_par_map(1, per_shard.clone()));
            if form.ends_with("ordered") { gather_ordered(worked) } else { gather(worked) }
        }
    }
}

fn keeps_order(form: &str) -> bool {
    !form.ends_with("unordered") && form != "scatter_gather"
}

fn baseline() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn wait_for_tasks(n_tasks: usize, what: &str) {
    let started = std::time::Instant::now();
    while baseline() > n_tasks {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}: tasks are left");
        tokio::task::yield_now().await;
    }
}
