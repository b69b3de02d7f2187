//! The pool that rayon keeps for the whole process. In a test program of its own: there is one of it.

use anio_parallel::{Error, ParMap, ParStreamExt, Pipeline, Pool, cpu};
use futures::{TryStreamExt, stream};
use rayon::prelude::*;

/// Uses all that computes, inside and outside of scopes.
async fn compute() -> Result<(), Error> {
    let n_cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(Pool::current().n_threads(), n_cores, "outside of all scopes");
    assert_eq!(cpu(|| (0..100_u64).into_par_iter().sum::<u64>()).await?, 4950);
    assert_eq!((0..100_u32).par_map(|n| n * 2)?.len(), 100);
    let squares: Vec<u64> = stream::iter(0..100).par_map(2, |n| n * n).try_collect().await?;
    assert_eq!(squares.len(), 100);
    let report = Pipeline::source(0..100).cpu_stage("double", 2, |n| n * 2).fold(0, |sum, n| *sum += n);
    assert_eq!(report.run().await?.value, 9900);
    for n_threads in [1, 3] {
        let pool = Pool::new(n_threads)?;
        assert_eq!(pool.cpu(rayon::current_num_threads).await?, n_threads);
        assert_eq!(pool.install(|| Pool::current().n_threads()), n_threads);
    }
    Ok(())
}

#[tokio::test]
async fn the_pool_of_the_process_is_left_to_the_program() {
    compute().await.unwrap();
    let build_global = || rayon::ThreadPoolBuilder::new().num_threads(5).build_global();
    build_global().expect("nobody has built it before");
    assert_eq!(rayon::current_num_threads(), 5);
    compute().await.unwrap();
    build_global().unwrap_err();
}
