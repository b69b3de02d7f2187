//! What is asked for at the command line.

use crate::database::Backend;
use crate::workload::Workload;

pub(crate) const HELP: &str = "\
anio-bench [WORKLOAD…] [--backend sqlite|postgres|both] [--repetitions N] [--json-only]

  single    10,000 runs of one task, submitted at once
  chain     1,000 tasks in a row
  fan       1 task, then 10,000 beside each other, then 1
  diamonds  5,000 runs of 4 tasks, submitted at once
  payload   10 tasks in a row, each with an output of 1 MiB
  idle      an engine with nothing to do, for 20 s
  resume    a half-finished run of 100,000 tasks, from the start of the engine to the first task
  memory    what a waiting task run takes
  latency   from submit to the outcome, at 50, 80 and 95 % of the rate that the engine bears
  shared-rate  starts of 10 s under a rate of 100/s that all workers share; on Postgres, two processes
  parallel  the helpers of anio-parallel beside what does the same without them: par-map, par-sort,
            par-then, par-then-unordered, pipeline, queue

Without a workload: all of them. One JSON line each on standard output, a table on standard error.";

const REPETITIONS: usize = 3;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Args {
    Help,
    /// A worker beside the measurement, in a process of its own.
    Worker {
        url: String,
    },
    /// One measurement, in this process.
    Measure {
        workload: Workload,
        backend: Backend,
        repetitions: usize,
    },
    /// Each in a process of its own.
    All {
        workloads: Vec<Workload>,
        backends: Vec<Backend>,
        repetitions: usize,
        json_only: bool,
    },
}

impl Args {
    /// # Errors
    /// What is wrong with them, in words.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let (mut workloads, mut measured) = (Vec::new(), None);
        let mut backends = vec![Backend::Sqlite, Backend::Postgres];
        let (mut repetitions, mut json_only) = (REPETITIONS, false);
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (arg.as_str(), None),
            };
            let mut value = || value.clone().or_else(|| args.next()).ok_or(format!("{name} lacks its value"));
            match name {
                "--help" | "-h" => return Ok(Self::Help),
                "--json-only" => json_only = true,
                "--backend" => backends = backends_of(&value()?)?,
                "--repetitions" => {
                    let n = value()?;
                    let n_checked = n.parse().ok().filter(|n| (1..=99).contains(n));
                    repetitions = n_checked.ok_or(format!("--repetitions {n}: may be 1 to 99"))?;
                }
                "--worker" => return Ok(Self::Worker { url: value()? }),
                "--measure" => measured = Some(workload_of(&value()?)?),
                "parallel" => workloads.extend(Workload::PARALLEL),
                name => workloads.push(workload_of(name)?),
            }
        }
        if let Some(workload) = measured {
            let backend = *backends.first().expect("every choice of backends has one");
            return Ok(Self::Measure { workload, backend, repetitions });
        }
        if workloads.is_empty() {
            workloads = Workload::ALL.to_vec();
        }
        Ok(Self::All { workloads, backends, repetitions, json_only })
    }
}

fn backends_of(word: &str) -> Result<Vec<Backend>, String> {
    match word {
        "sqlite" => Ok(vec![Backend::Sqlite]),
        "postgres" => Ok(vec![Backend::Postgres]),
        "both" => Ok(vec![Backend::Sqlite, Backend::Postgres]),
        word => Err(format!("--backend {word}: may be sqlite, postgres or both")),
    }
}

fn workload_of(name: &str) -> Result<Workload, String> {
    let found = Workload::ALL.into_iter().find(|workload| workload.name() == name);
    found.ok_or_else(|| format!("no workload {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn without_a_workload_all_are_meant() {
        let Ok(Args::All { workloads, backends, repetitions: 3, json_only: false }) = parse("") else {
            panic!("nothing is asked for, so everything is");
        };
        assert_eq!((workloads.len(), backends.len()), (16, 2));
    }

    #[test]
    fn workloads_and_options_may_be_mixed() {
        let expected = Args::All {
            workloads: vec![Workload::Fan, Workload::Idle],
            backends: vec![Backend::Postgres],
            repetitions: 5,
            json_only: true,
        };
        assert_eq!(parse("fan --backend=postgres --json-only idle --repetitions 5"), Ok(expected));
    }

    #[test]
    fn parallel_stands_for_several() {
        let Ok(Args::All { workloads, .. }) = parse("idle parallel") else { panic!("both are known") };
        assert_eq!(workloads.len(), 7);
        assert!(workloads.iter().skip(1).all(|workload| !workload.has_backend()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, problem) in [
            ("fann", "no workload fann"),
            ("--backend oracle", "--backend oracle: may be sqlite, postgres or both"),
            ("--backend", "--backend lacks its value"),
            ("--repetitions 0", "--repetitions 0: may be 1 to 99"),
        ] {
            assert_eq!(parse(line).unwrap_err(), problem);
        }
    }
}
