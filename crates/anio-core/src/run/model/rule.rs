//! What must hold in every interleaving.

use std::fmt;

use super::case::Case;
use crate::run::TaskRunKey;

/// A rule of the engine's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    DurableFirst,
    NeedsSuccess,
    DecidesOnce,
    DecidesAlike,
    HandledOnly,
    NoSecondSuccess,
    FactOnce,
    AttemptsCountUp,
    ProducedOrder,
    OneOwner,
    RunEnds,
    SameOutcome,
    ReplayAgrees,
    EndIsLast,
    AcknowledgedIsDurable,
    PoisonEnds,
    CautiousStart,
    PolicyHolds,
    WaitsItsTime,
    AskedOnce,
    HaltedStartsNothing,
    EndsAsAsked,
    LetGoQuietly,
    GivenUpForGood,
    EnoughIsEnough,
    CalledBack,
    LogReadsBack,
    NoPanic,
}

impl Rule {
    fn as_str(self) -> &'static str {
        match self {
            Self::DurableFirst => {
                "a task begins, or decides, only when all facts that it rests on are in the log"
            }
            Self::NeedsSuccess => "what needs a task that failed or was skipped never runs",
            Self::DecidesOnce => "a task runs, or is told once to be skipped",
            Self::DecidesAlike => "a task decides as in the undisturbed run, before a crash and after it",
            Self::HandledOnly => "a run fails for the first failure that no task handled, and for no other",
            Self::NoSecondSuccess => "no task run that has ended is executed again",
            Self::FactOnce => "an attempt has one beginning and one end in the log, a map one width",
            Self::AttemptsCountUp => "the attempts of a task run count up without gaps or repeats",
            Self::ProducedOrder => "the log has the facts of an owner in the order in which it produced them",
            Self::OneOwner => "at most one owner commits in an epoch, and none after a later one was named",
            Self::RunEnds => "every run ends",
            Self::SameOutcome => "every run ends as the undisturbed one does",
            Self::ReplayAgrees => "the log replayed says what the living state says of all that is durable",
            Self::EndIsLast => "a run's end is its last record, when every task is settled",
            Self::AcknowledgedIsDurable => "nothing is acknowledged that is not in the log",
            Self::PoisonEnds => "a task run is given up after so many deaths of its worker, not before",
            Self::CautiousStart => "what a resumed run finds ready has its start in the log before it starts",
            Self::PolicyHolds => "a task run fails as often as its policy says, crashes or not",
            Self::WaitsItsTime => "an attempt that follows a failure begins when it is due, not before",
            Self::AskedOnce => "effects are asked for once, and events that come late do nothing",
            Self::HaltedStartsNothing => "nothing starts while a run is paused, or once it is called off",
            Self::EndsAsAsked => "a run that is cancelled, or late, ends so; no other does",
            Self::LetGoQuietly => "a paused run is let go when nothing of it runs and all is in the log",
            Self::GivenUpForGood => "a task run that was given up begins no attempt after that",
            Self::EnoughIsEnough => "a task stops when it has enough, then, and begins nothing after that",
            Self::CalledBack => {
                "a callback is called when its end is in the log: once, again only after a crash, and before the run ends"
            }
            Self::LogReadsBack => "every log can be replayed",
            Self::NoPanic => "the state machine does not panic",
        }
    }
}

/// A rule that was broken, and how.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) rule: Rule,
    pub(super) how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.as_str(), self.how)
    }
}

pub(super) type Checked = Result<(), Broken>;

/// Breaks `rule` unless `holds`.
pub(super) fn check(holds: bool, rule: Rule, how: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Broken { rule, how: how() }) }
}

pub(super) fn name(case: &Case, key: TaskRunKey) -> String {
    let task = &case.plan.task(key.task).name;
    key.map_index.map_or_else(|| task.to_string(), |index| format!("{task}[{index}]"))
}
