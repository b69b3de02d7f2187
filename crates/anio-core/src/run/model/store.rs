//! The store of the world: takes records from the owner of the run only, in their order, and reads them back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use super::case::{Case, INPUT};
use super::ledger::Ledger;
use super::plant::Plant;
use super::rule::{Broken, Checked, Rule, check};
use super::worker::Record;
use crate::name::RunId;
use crate::output::Output;
use crate::run::{Fact, FactKind, RunState, since_cleared};

#[derive(Debug)]
pub(super) struct Store {
    pub(super) log: Rc<Vec<Rc<Fact>>>,
    /// The place in the order of production of the owner's last fact.
    pub(super) last_place: u64,
    pub(super) last_epoch: u32,
    pub(super) epoch: u32,
    pub(super) ledger: Ledger,
    /// All facts of the log, replayed.
    pub(super) replayed: Rc<RunState>,
    pub(super) has_end: bool,
}

impl Store {
    /// Facts that somebody else than the owner tells.
    pub(super) fn append(&mut self, facts: &[Fact]) {
        for fact in facts {
            Rc::make_mut(&mut self.log).push(Rc::new(fact.clone()));
            if fact.kind == FactKind::Cancelled {
                if Rc::get_mut(&mut self.replayed).is_none() {
                    self.replayed = Rc::new(self.replayed.fork());
                }
                let replayed = Rc::get_mut(&mut self.replayed).expect("it was copied where others had it");
                replay(replayed, fact).expect("a task run can be given up at any time");
            }
        }
    }

    /// Reads the whole log back, after some of it was undone.
    pub(super) fn reread(&mut self, case: &Case) -> Checked {
        let log: Vec<Fact> = self.log.iter().map(|fact| Fact::clone(fact)).collect();
        let mut state = fresh(case);
        since_cleared(&log).into_iter().try_for_each(|fact| replay(&mut state, fact))?;
        self.replayed = Rc::new(state);
        Ok(())
    }

    pub(super) fn fork(&self) -> Self {
        Self {
            log: Rc::clone(&self.log),
            ledger: self.ledger.clone(),
            replayed: Rc::clone(&self.replayed),
            ..*self
        }
    }

    pub(super) fn take(
        &mut self,
        case: &Case,
        epoch: u32,
        place: u64,
        record: &Record,
        plant: Option<Plant>,
    ) -> Checked {
        check(epoch == self.epoch, Rule::OneOwner, || format!("{record:?} of epoch {epoch}"))?;
        let last_place = if epoch == self.last_epoch { self.last_place } else { 0 };
        check(place > last_place, Rule::ProducedOrder, || format!("{record:?}"))?;
        (self.last_epoch, self.last_place) = (epoch, place);
        let fact = match record {
            Record::End(end) => {
                self.has_end = true;
                return self.ledger.take_end(case, end);
            }
            Record::Hold => return Ok(()),
            Record::Fact(fact) | Record::Note(fact) => fact,
        };
        let expands = matches!(fact.kind, FactKind::Expanded { .. });
        let skips = matches!(fact.kind, FactKind::Skipped { .. });
        let times = match plant {
            Some(Plant::TellsSkipsTwice) if skips => 2,
            Some(Plant::LosesExpansions) if expands => 0,
            Some(Plant::LosesStops) if matches!(fact.kind, FactKind::Stopped { .. }) => 0,
            Some(Plant::WritesTwice) => 2,
            _ => 1,
        };
        for _ in 0..times {
            self.ledger.take(case, fact)?;
            Rc::make_mut(&mut self.log).push(Rc::clone(fact));
            if Rc::get_mut(&mut self.replayed).is_none() {
                self.replayed = Rc::new(self.replayed.fork());
            }
            replay(Rc::get_mut(&mut self.replayed).expect("it was copied where others had it"), fact)?;
        }
        Ok(())
    }
}

pub(super) fn fresh(case: &Case) -> RunState {
    let id = RunId::from_uuid(uuid::Uuid::from_u128(1));
    let input = Output::from_json(INPUT).expect("the input is JSON");
    RunState::new(id, Arc::clone(&case.plan), input, case.limits.poison_deaths)
}

pub(super) fn replay(state: &mut RunState, fact: &Fact) -> Checked {
    let replayed = catch_unwind(AssertUnwindSafe(|| state.replay(fact))).map_err(|_| panicked())?;
    replayed.map_err(|error| Broken { rule: Rule::LogReadsBack, how: error.to_string() })
}

pub(super) fn panicked() -> Broken {
    Broken { rule: Rule::NoPanic, how: "its message is above".to_owned() }
}
