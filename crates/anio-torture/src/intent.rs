//! What is meant to be done with a run beside executing it; drawn when it is submitted, and written into its
//! tags, so that whoever reads the run knows it too.

use std::time::Duration;

use anio_core::Timestamp;

use crate::dice::Dice;

/// How long after its submission a run is cancelled, paused or robbed of a task at the latest.
pub const ASK_WITHIN: Duration = Duration::from_millis(150);

/// How long a run waits for its time at the longest.
const DUE_WITHIN: Duration = Duration::from_millis(400);

/// A deadline that passes, at the latest.
const LATE_WITHIN: Duration = Duration::from_millis(100);

/// A deadline that does not pass.
const GENEROUS: Duration = Duration::from_secs(3600);

/// What is meant to be done with a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Nothing.
    Plain,
    /// It is cancelled.
    Cancel,
    /// It is paused, and resumed later.
    Pause,
    /// One of its tasks is cancelled: the one at this position, modulo how many there are.
    GiveUp(u64),
    /// One element of one of its mapped tasks is cancelled: of the one at this position, modulo how many there are,
    /// the element of this number.
    GiveUpElement(u64, u32),
    /// When it has ended, this task and all after it run again: the one at this position, modulo how many there are.
    Rerun(u64),
    /// The same with two tasks.
    Clear(u64, u64),
    /// It is submitted in a transaction of the user's own, beside a row of this number.
    Joint(u64),
    /// It has this deadline, which passes.
    Late(Timestamp),
    /// It has this deadline, which does not pass.
    Generous(Timestamp),
    /// It is due at this time.
    Due(Timestamp),
    /// It has an idempotency key, and is submitted more than once.
    Keyed,
}

impl Intent {
    /// Draws one; two in five are plain.
    pub fn draw(dice: &mut Dice, now: Timestamp) -> Self {
        match dice.below(100) {
            0..8 => Self::Cancel,
            8..17 => Self::Pause,
            17..23 => Self::GiveUp(dice.below(64)),
            23..29 => Self::GiveUpElement(dice.below(64), dice.below(6) as u32),
            29..32 => Self::Late(now.after(dice.duration(LATE_WITHIN))),
            32..35 => Self::Generous(now.after(GENEROUS)),
            35..40 => Self::Due(now.after(dice.duration(DUE_WITHIN))),
            40..47 => Self::Keyed,
            47..53 => Self::Joint(dice.roll() >> 12),
            53..58 => Self::Rerun(dice.below(64)),
            58..62 => Self::Clear(dice.below(64), dice.below(64)),
            _ => Self::Plain,
        }
    }

    /// As a tag.
    pub fn tag(&self) -> String {
        match self {
            Self::Plain => "plain".to_owned(),
            Self::Cancel => "cancel".to_owned(),
            Self::Pause => "pause".to_owned(),
            Self::GiveUp(task) => format!("give-up:{task}"),
            Self::GiveUpElement(task, index) => format!("give-up-element:{task}/{index}"),
            Self::Rerun(task) => format!("rerun:{task}"),
            Self::Clear(one, other) => format!("clear:{one}/{other}"),
            Self::Joint(number) => format!("joint:{number}"),
            Self::Late(at) => format!("late:{}", at.as_micros()),
            Self::Generous(at) => format!("generous:{}", at.as_micros()),
            Self::Due(at) => format!("due:{}", at.as_micros()),
            Self::Keyed => "keyed".to_owned(),
        }
    }

    /// The intent of a tag.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let (word, number) = tag.split_once(':').unwrap_or((tag, ""));
        let at = || Some(Timestamp::from_micros(number.parse().ok()?));
        match word {
            "plain" => Some(Self::Plain),
            "cancel" => Some(Self::Cancel),
            "pause" => Some(Self::Pause),
            "give-up" => Some(Self::GiveUp(number.parse().ok()?)),
            "give-up-element" => {
                let (task, index) = number.split_once('/')?;
                Some(Self::GiveUpElement(task.parse().ok()?, index.parse().ok()?))
            }
            "rerun" => Some(Self::Rerun(number.parse().ok()?)),
            "clear" => {
                let (one, other) = number.split_once('/')?;
                Some(Self::Clear(one.parse().ok()?, other.parse().ok()?))
            }
            "joint" => Some(Self::Joint(number.parse().ok()?)),
            "late" => at().map(Self::Late),
            "generous" => at().map(Self::Generous),
            "due" => at().map(Self::Due),
            "keyed" => Some(Self::Keyed),
            _ => None,
        }
    }

    /// Whether the run, when it fails, may be mended and retried: by one worker only, the one that submitted
    /// it, and only where a failure is one of its tasks.
    pub const fn may_be_retried(&self) -> bool {
        matches!(
            self,
            Self::Plain
                | Self::Pause
                | Self::GiveUp(_)
                | Self::GiveUpElement(..)
                | Self::Due(_)
                | Self::Joint(_)
        )
    }

    /// Which of so many tasks run again when the run has ended, by their positions.
    pub fn runs_again(&self, n_tasks: usize) -> Vec<usize> {
        let position = |task: &u64| (*task % n_tasks.max(1) as u64) as usize;
        match self {
            Self::Rerun(task) => vec![position(task)],
            Self::Clear(one, other) => vec![position(one), position(other)],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_intent_is_drawn_and_reads_back_from_its_tag() {
        let mut dice = Dice::new(1);
        let mut kinds = std::collections::HashSet::new();
        for _ in 0..1000 {
            let intent = Intent::draw(&mut dice, Timestamp::from_micros(17));
            assert_eq!(Intent::of_tag(&intent.tag()), Some(intent.clone()));
            kinds.insert(std::mem::discriminant(&intent));
        }
        assert_eq!(kinds.len(), 12);
        assert_eq!(Intent::of_tag("other"), None);
    }
}
