//! The rules, and what must be met on the way so that they say something.

use stateright::Property;

use super::Protocol;
use super::world::{Call, Run, Status, World};

pub(super) const TWICE: &str = "no fact is stored twice";
pub(super) const ORDER: &str = "facts stand in the order of tasks and of epochs";
pub(super) const LOST_LEASE: &str = "nothing is stored under a lease that is lost";
pub(super) const OWNER: &str = "nobody stores anything of a run but its owner, under its epoch";
pub(super) const ONE_OWNER: &str = "an epoch of a run has one owner";
pub(super) const LEFT_ALONE: &str = "a lease that stands is left alone";
pub(super) const ACKNOWLEDGED: &str = "what was acknowledged is stored";
pub(super) const GOES_ON: &str = "all goes on from here, without another failure";

type Is = fn(&Protocol, &World) -> bool;

/// What holds in every state.
const ALWAYS: [(&str, Is); 8] = [
    (TWICE, |_, world| world.runs.iter().all(has_no_fact_twice)),
    (ORDER, |_, world| world.runs.iter().all(is_in_order)),
    (LOST_LEASE, |_, world| !world.wrongs.lost_lease_commits),
    (OWNER, |_, world| !world.wrongs.stranger_commits),
    (ONE_OWNER, |_, world| !world.wrongs.epoch_claimed_twice),
    (LEFT_ALONE, |_, world| !world.wrongs.standing_lease_buried),
    (ACKNOWLEDGED, |_, world| !world.wrongs.acknowledged_in_vain),
    (GOES_ON, Protocol::goes_on),
];

/// What is met in some state.
const SOMETIMES: [(&str, Is); 5] = [
    ("a zombie commits", |_, world| {
        world.commits_under_way().any(|(_, lease, _)| !world.is_standing(usize::from(lease)))
    }),
    ("a commit is sent again that is stored", |_, world| {
        world.commits_under_way().any(|(_, lease, number)| {
            world.leases[usize::from(lease)].is_some_and(|lease| lease.last_commit >= number)
        })
    }),
    ("a commit is under way twice", |_, world| {
        world.commits_under_way().any(|(ix, lease, number)| {
            world.commits_under_way().any(|(other, of, n)| other != ix && (of, n) == (lease, number))
        })
    }),
    ("a commit waits for a burial", |_, world| {
        world.commits_under_way().any(|(ix, lease, _)| world.is_locked(usize::from(lease), ix))
    }),
    ("a run that was taken over succeeds", |_, world| {
        world.runs.iter().any(|run| run.status == Status::Succeeded && run.was_taken_over())
    }),
];

pub(super) fn properties() -> Vec<Property<Protocol>> {
    let always = ALWAYS.iter().map(|(name, holds)| Property::always(name, *holds));
    always.chain(SOMETIMES.iter().map(|(name, is_met)| Property::sometimes(name, *is_met))).collect()
}

fn has_no_fact_twice(run: &Run) -> bool {
    let facts = || run.facts.iter().flatten();
    facts().all(|fact| facts().filter(|other| other.task == fact.task).count() == 1)
}

fn is_in_order(run: &Run) -> bool {
    let facts: Vec<_> = run.facts.iter().flatten().collect();
    facts.windows(2).all(|pair| pair[0].task < pair[1].task && pair[0].epoch <= pair[1].epoch)
}

impl World {
    /// The commits that the server has not begun with: the session, the lease, the number.
    fn commits_under_way(&self) -> impl Iterator<Item = (usize, u8, u8)> {
        let sessions = self.sessions.iter().enumerate();
        sessions.filter_map(|(ix, session)| match (*session)? {
            session if session.phase != super::world::Phase::Sent => None,
            session => match session.call {
                Call::Commit { number, .. } => Some((ix, session.lease, number)),
                _ => None,
            },
        })
    }
}
