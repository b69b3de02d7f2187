//! The rules, and what is said of one that does not hold.

use std::fmt;

use anio_core::RunId;

use crate::reference::TaskRunName;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A run whose submit was acknowledged is in the database, as it was submitted.
    AcknowledgedRunsAreKept,
    /// An end that was acknowledged does not change.
    AcknowledgedEndsAreKept,
    /// Every run ends.
    RunsEnd,
    /// A run ends as it would have without crashes.
    StatusAgrees,
    /// Bodies execute for runs that are durable, and for no others.
    BodiesBelongToRuns,
    /// What would be skipped without crashes does not execute.
    NothingExtraExecutes,
    /// Every task run that executes without crashes has one end, and nothing is recorded after it.
    TaskRunsEndOnce,
    /// Outputs are those of an execution without crashes.
    OutputsAgree,
    /// What is written into the context is, too.
    WritesAgree,
    /// So is how often a task run fails.
    FailuresAgree,
    /// Maps are as wide as their lists.
    WidthsAgree,
    /// A fact is recorded once.
    FactsAreRecordedOnce,
    /// The attempts of a task run count up without gaps.
    AttemptsCountUp,
    /// A recorded success was executed.
    SuccessesWereExecuted,
    /// Bodies are given what they would be given without crashes.
    InputsAgree,
    /// What has succeeded is not begun again.
    SuccessIsFinal,
    /// A body begins after all that it depends on has ended.
    DependenciesEndFirst,
    /// What a body depends on is durable by then: it does not begin again.
    DependenciesAreDurable,
    /// A worker begins an attempt once; a process that has lost its lease goes on as another worker.
    AttemptsBeginOncePerWorker,
    /// A crash costs no more than what was under way.
    CrashesCostWhatWasUnderWay,
    /// Nothing of a run begins after its end.
    EndsAreEnds,
    /// A run whose cancel was acknowledged while it still had something to do ends cancelled; a process that
    /// was started later begins nothing of it.
    CancelsHold,
    /// So does a task that was cancelled; and none ends so for which nobody asked.
    TaskCancelsHold,
    /// A run that was seen paused begins nothing until somebody is about to resume it.
    PausesHold,
    /// A process that was started after a run's deadline begins nothing of it.
    DeadlinesHold,
    /// A run that is due at a time begins nothing before.
    DueRunsWait,
    /// An idempotency key is one run.
    KeysAreOneRun,
    /// A retry undoes what failed and what comes after it, and nothing else.
    RetriesKeepWhatSucceeded,
    /// A callback is called after the end that it is for is durable: that task run does not begin again.
    CallbacksAreTrue,
    /// A callback is called at least once before the run has ended.
    CallbacksAreCalled,
    /// The bodies of a process never hold more than its limits allow.
    LimitsHold,
    /// Facts of a run are recorded by one worker at a time: none that one began before another took over is
    /// recorded after what that other has done.
    OneOwnerCommits,
    /// A worker that was taken over from while it was stopped records nothing of what it does until it knows.
    ZombiesCommitNothing,
    /// It says in the log that its lease is lost.
    ZombiesSaySo,
    /// Of a run that has ended, those tasks run again that were chosen and those after them, and no others.
    WhatRunsAgainIsChosen,
    /// A run that was submitted in a transaction of the user's own is there if and only if the user's row is.
    JointSubmitsAreOne,
    /// A task with a rate starts no more often than that on one worker.
    RatesHold,
    /// Nothing of a run begins after somebody was told that it has succeeded.
    ToldEndsAreDurable,
    /// What a body came to is durable when a graceful shutdown of its process is over.
    ShutdownsLoseNothing,
    /// A retry begins no earlier than its failure said.
    BackoffsHold,
    /// A lease is not ended by another while it stands: from the last time that it was taken or renewed.
    StandingLeasesAreLeft,
    /// A worker takes no run when its lease has ended.
    RunsAreTakenUnderALease,
    /// An epoch of a run has one owner.
    EpochsHaveOneOwner,
    /// A map stops when it has enough: then no element begins any more, and those that are under way come to an end.
    EnoughIsEnough,
    /// A task run that kills its worker each time fails, after as many deaths as it is allowed.
    PoisonEnds,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 45] = [
        Self::AcknowledgedRunsAreKept,
        Self::AcknowledgedEndsAreKept,
        Self::RunsEnd,
        Self::StatusAgrees,
        Self::BodiesBelongToRuns,
        Self::NothingExtraExecutes,
        Self::TaskRunsEndOnce,
        Self::OutputsAgree,
        Self::WritesAgree,
        Self::FailuresAgree,
        Self::WidthsAgree,
        Self::FactsAreRecordedOnce,
        Self::AttemptsCountUp,
        Self::SuccessesWereExecuted,
        Self::InputsAgree,
        Self::SuccessIsFinal,
        Self::DependenciesEndFirst,
        Self::DependenciesAreDurable,
        Self::AttemptsBeginOncePerWorker,
        Self::CrashesCostWhatWasUnderWay,
        Self::EndsAreEnds,
        Self::CancelsHold,
        Self::TaskCancelsHold,
        Self::PausesHold,
        Self::DeadlinesHold,
        Self::DueRunsWait,
        Self::KeysAreOneRun,
        Self::RetriesKeepWhatSucceeded,
        Self::CallbacksAreTrue,
        Self::CallbacksAreCalled,
        Self::LimitsHold,
        Self::OneOwnerCommits,
        Self::ZombiesCommitNothing,
        Self::ZombiesSaySo,
        Self::WhatRunsAgainIsChosen,
        Self::JointSubmitsAreOne,
        Self::RatesHold,
        Self::ToldEndsAreDurable,
        Self::ShutdownsLoseNothing,
        Self::BackoffsHold,
        Self::StandingLeasesAreLeft,
        Self::RunsAreTakenUnderALease,
        Self::EpochsHaveOneOwner,
        Self::PoisonEnds,
        Self::EnoughIsEnough,
    ];
}

/// A rule that does not hold, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The run.
    pub run: Option<RunId>,
    /// The task run.
    pub task_run: Option<TaskRunName>,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.rule)?;
        if let Some(run) = self.run {
            write!(f, ", run {run}")?;
        }
        if let Some((task, index)) = &self.task_run {
            write!(f, ", task {task}")?;
            index.map_or(Ok(()), |index| write!(f, " element {index}"))?;
        }
        write!(f, ": {}", self.found)
    }
}
