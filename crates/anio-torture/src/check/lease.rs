//! Who held which lease, and which runs under it: step by step, where the database was watched that closely.

use std::collections::{HashMap, HashSet};

use anio_core::{RunId, Timestamp};
use anio_store::record::WorkerId;

use super::{Rule, Violation};
use crate::history::{History, LeaseDeed, LeaseStep};

/// Checks all steps in their order.
pub(super) fn check(history: &History, out: &mut Vec<Violation>) {
    let mut until: HashMap<WorkerId, Timestamp> = HashMap::new();
    let mut ended: HashSet<WorkerId> = HashSet::new();
    let mut owners: HashMap<(RunId, u32), WorkerId> = HashMap::new();
    for LeaseStep { at, worker, what } in &history.leases {
        let mut violate = |rule, run, found| out.push(Violation { rule, run, task_run: None, found });
        match what {
            LeaseDeed::Stands(then) => drop(until.insert(*worker, *then)),
            LeaseDeed::GivenBack => drop(ended.insert(*worker)),
            LeaseDeed::Buried => {
                ended.insert(*worker);
                if let Some(until) = until.get(worker).filter(|until| *until > at) {
                    let found = format!("that of {worker:?} was ended {:?} too early", until.since(*at));
                    violate(Rule::StandingLeasesAreLeft, None, found);
                }
            }
            LeaseDeed::Takes(run, epoch) => {
                if ended.contains(worker) {
                    let found = format!("{worker:?} took it, and its lease had ended");
                    violate(Rule::RunsAreTakenUnderALease, Some(*run), found);
                }
                let owner = *owners.entry((*run, *epoch)).or_insert(*worker);
                if owner != *worker {
                    let found = format!("{worker:?} took it in epoch {epoch}, which is that of {owner:?}");
                    violate(Rule::EpochsHaveOneOwner, Some(*run), found);
                }
            }
        }
    }
}
