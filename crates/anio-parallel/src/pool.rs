//! Pools of threads for work that computes: which one is "the worker's", and pools of another size for
//! one call. The pool that rayon builds for the whole process is never touched.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::carrier::Carrier;
use crate::cpu::{self, Cpu};
use crate::error::{Cause, Error};
use crate::panic;
use crate::scope::Scope;
use crate::threads::n_cores;

/// A handle on a rayon pool. Cheap to clone; the threads end when the last handle is gone and the work
/// is done.
///
/// ```
/// use anio_parallel::Pool;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
/// let images = Pool::new(2)?;
/// let threads = images.cpu(rayon::current_num_threads).await?;
/// assert_eq!(threads, 2);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Pool(Which);

#[derive(Clone)]
enum Which {
    /// What is current where no scope was entered: the rayon pool that the thread belongs to, else the
    /// default one.
    Unscoped,
    Own(Arc<ThreadPool>),
}

impl Pool {
    /// Starts a pool of this many threads; 0 stands for one per core.
    ///
    /// # Errors
    /// [`Error::Pool`] when the threads cannot be started.
    pub fn new(n_threads: usize) -> Result<Self, Error> {
        let n_workers = if n_threads == 0 { n_cores() } else { n_threads };
        ThreadPoolBuilder::new()
            .num_threads(n_workers)
            .thread_name(|index| format!("cpu-{index}"))
            // Without a handler, a panic in a plain `rayon::spawn` ends the process.
            .panic_handler(|payload| {
                let message = panic::message(&*payload);
                tracing::error!(target: "anio_parallel", message, "a spawned job panicked");
            })
            .build()
            .map(Self::from)
            .map_err(|source| Error::Pool { n_threads, source: Arc::new(source) })
    }

    /// The pool of the scope that this task or thread is in; outside every scope the default pool, with
    /// one thread per core, started when it is first used.
    pub fn current() -> Self {
        Scope::current().pool().clone()
    }

    pub(crate) const fn unscoped() -> Self {
        Self(Which::Unscoped)
    }

    /// How many threads it has.
    pub fn n_threads(&self) -> usize {
        match &self.0 {
            Which::Unscoped if is_rayon_thread() => rayon::current_num_threads(),
            _ => self.rayon().current_num_threads(),
        }
    }

    /// Polls the future with this pool as the current one, and all else as it is.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Scope::current().on(self).run(future)
    }

    /// Runs a function on this pool; see [`cpu`](crate::cpu()).
    pub fn cpu<R, F>(&self, f: F) -> Cpu<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        cpu::cpu(f).on(self)
    }

    /// Runs a fallible function on this pool; see [`try_cpu`](crate::try_cpu).
    pub fn try_cpu<R, E, F>(&self, f: F) -> Cpu<R>
    where
        F: FnOnce() -> Result<R, E> + Send + 'static,
        R: Send + 'static,
        E: Into<Cause>,
    {
        cpu::try_cpu(f).on(self)
    }

    /// Runs a function on this pool and waits for it on this thread, which may borrow: for plain
    /// functions, not for async code, whose thread it would block. A panic is passed on.
    ///
    /// ```
    /// use anio_parallel::{ParMap, Pool};
    ///
    /// let words = ["one", "three"];
    /// let lengths = Pool::new(1)?.install(|| words.as_slice().par_map(|word| word.len()))?;
    /// assert_eq!(lengths, [3, 5]);
    /// # Ok::<(), anio_parallel::Error>(())
    /// ```
    pub fn install<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        let here = Carrier::current().on(self);
        self.enter_threads(|| here.run(f))
    }

    /// The rayon pool itself.
    pub fn rayon(&self) -> &Arc<ThreadPool> {
        match &self.0 {
            Which::Own(pool) => pool,
            Which::Unscoped => global(),
        }
    }

    /// Runs the function on one of the pool's threads, in no scope; at once if this is one of them.
    pub(crate) fn enter_threads<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Which::Unscoped if is_rayon_thread() => f(),
            _ => self.rayon().install(f),
        }
    }

    /// Runs the job on one of the pool's threads, some time. On one of them it runs at once: its caller
    /// may wait there for the answer, and with one thread that would be for ever.
    pub(crate) fn start(&self, job: impl FnOnce() + Send + 'static) {
        let pool = self.rayon();
        if pool.current_thread_index().is_some() {
            job();
        } else {
            pool.spawn(job);
        }
    }
}

impl From<ThreadPool> for Pool {
    fn from(pool: ThreadPool) -> Self {
        Self::from(Arc::new(pool))
    }
}

impl From<Arc<ThreadPool>> for Pool {
    fn from(pool: Arc<ThreadPool>) -> Self {
        Self(Which::Own(pool))
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Which::Own(pool) => write!(f, "Pool({} threads)", pool.current_num_threads()),
            Which::Unscoped => f.write_str("Pool(default)"),
        }
    }
}

fn global() -> &'static Arc<ThreadPool> {
    static GLOBAL: OnceLock<Arc<ThreadPool>> = OnceLock::new();
    GLOBAL.get_or_init(|| {
        // One thread is the least that work needs; a process that cannot start one cannot go on.
        let pool = Pool::new(0).or_else(|_| Pool::new(1)).expect("the system starts at least one thread");
        Arc::clone(pool.rayon())
    })
}

fn is_rayon_thread() -> bool {
    rayon::current_thread_index().is_some()
}
