//! What a pipeline has to say at its end.

use std::fmt;
use std::time::Duration;

use super::stats::StageReport;
use crate::error::Error;

/// What became of a pipeline that was not stopped by an error. Displayed, it is a table of the stages.
///
/// ```
/// use anio_parallel::Pipeline;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), anio_parallel::Error> {
/// let report = Pipeline::source(1..=3).stage("double", 1, |n| async move { n * 2 }).collect::<Vec<i32>>();
/// let report = report.run().await?;
/// assert_eq!(report.value, [2, 4, 6]);
/// assert_eq!(report.stage("double").map(|stage| (stage.n_in, stage.n_out)), Some((3, 3)));
/// assert_eq!(report.to_string().lines().count(), 4, "a title, the source, the stage, the sink");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report<A> {
    /// What the sink made of the items: `()` where it only took them.
    pub value: A,
    /// The source, the stages and the sink.
    pub stages: Vec<StageReport>,
    /// The errors of single items, the first thousand, as they came; only with
    /// [`settle`](super::Pipeline::settle).
    pub errors: Vec<Error>,
    /// From the start to the end of the last worker.
    pub elapsed: Duration,
}

impl<A> Report<A> {
    /// The first stage of this name.
    pub fn stage(&self, name: &str) -> Option<&StageReport> {
        self.stages.iter().find(|stage| &*stage.name == name)
    }

    /// How many items failed, in all stages.
    pub fn n_errors(&self) -> u64 {
        self.stages.iter().map(|stage| stage.n_errors).sum()
    }
}

impl<A> fmt::Display for Report<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.stages.iter().map(|stage| stage.name.chars().count()).max().unwrap_or(0).max(5);
        write!(
            f,
            "{:width$}  workers        in       out    errors  queued  queued max       busy",
            "stage"
        )?;
        for stage in &self.stages {
            let StageReport { name, n_workers, n_in, n_out, n_errors, queued, queued_max, busy } = stage;
            let busy = format!("{busy:.1?}");
            write!(f, "\n{name:width$}  {n_workers:7}  {n_in:8}  {n_out:8}  {n_errors:8}")?;
            write!(f, "  {queued:6}  {queued_max:10}  {busy:>9}")?;
        }
        Ok(())
    }
}
