//! `model`: walks through the protocol of leases as far as is asked for.

use std::process::ExitCode;
use std::time::Instant;

use super::{Bounds, Plant, explore};
use crate::Result;
use crate::command::{self, Budget, tell};
use crate::ledger::Entry;

/// What the ledger calls it, and the backend, for which it is a model of both.
const METHOD: &str = "model";
const BACKEND: &str = "any";

/// Walks through every state of the protocol of leases and takeovers, within bounds, against its rules
#[derive(Clone, Debug, clap::Args)]
pub struct Command {
    #[command(flatten)]
    budget: Budget,
    /// How many processes, up to 3
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=3))]
    workers: u8,
    /// How many runs, up to 2
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    runs: u8,
    /// How many leases are given, over all
    #[arg(long, default_value_t = 3)]
    leases: u8,
    /// How many failures there are
    #[arg(long, default_value_t = 2)]
    faults: u8,
    /// How many requests of an operator there are
    #[arg(long, default_value_t = 0)]
    requests: u8,
    /// Walk through the models with a mistake instead: each must be found
    #[arg(long)]
    plants: bool,
}

impl Command {
    /// Walks.
    ///
    /// # Errors
    /// Those of standard output and of the record.
    pub fn run(&self) -> Result<ExitCode> {
        let mut figures = Entry::new(METHOD, BACKEND, command::session());
        let begun = Instant::now();
        if self.plants {
            for plant in Plant::ALL {
                look_for(plant, &mut figures);
            }
        } else {
            self.walk(&mut figures);
        }
        figures.seconds = begun.elapsed().as_secs_f64();
        self.budget.record(&figures)?;
        command::conclude(&[figures])
    }

    fn walk(&self, figures: &mut Entry) {
        let finding = explore(self.bounds(), None, None);
        figures.count("states", finding.n_states as u64);
        figures.violations = finding.broken.len() as u64;
        tell(&format!("{:?}: {} states, {} steps deep", self.bounds(), finding.n_states, finding.depth));
        for (rule, steps) in finding.broken {
            tell(&format!("broken: {rule}\n  {}", steps.join("\n  ")));
        }
        for missed in finding.missed {
            tell(&format!("not met within these bounds: {missed}"));
        }
    }

    fn bounds(&self) -> Bounds {
        let Self { workers, runs, leases: n_leases, faults: n_faults, requests: n_requests, .. } = *self;
        Bounds { n_workers: workers.into(), n_runs: runs.into(), n_leases, n_faults, n_requests }
    }
}

/// A mistake that is not found is a violation: of what we say of the rules.
fn look_for(plant: Plant, figures: &mut Entry) {
    let finding = explore(plant.bounds(), Some(plant), Some(plant.breaks()));
    let is_found = finding.broken.iter().any(|(rule, _)| *rule == plant.breaks());
    tell(&format!(
        "{plant:?}: {} after {} states",
        if is_found { "found" } else { "not found" },
        finding.n_states
    ));
    figures.count(if is_found { "mistakes_found" } else { "mistakes_missed" }, 1);
    figures.violations += u64::from(!is_found);
}
