//! How bad the connections to the database are: drawn once per schedule, so that schedules differ in kind.

use std::time::Duration;

use crate::dice::Dice;

/// What becomes of a verb on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    /// It is spoken and answered.
    Done,
    /// The database is busy: nothing happens.
    Busy,
    /// The connection breaks before it is sent.
    Cut,
    /// The connection breaks after it was sent, and it was not heard.
    Unheard,
    /// It is done, and the connection breaks before the answer is there.
    Unanswered,
    /// The connection breaks, and it is done so much later.
    Late(Duration),
}

/// How bad it is.
#[derive(Clone, Debug)]
pub(super) struct Weather {
    /// In 10,000 verbs: busy, cut, unheard, unanswered, late.
    chances: [u64; 5],
    /// How long ways take, in milliseconds; drawn from, evenly.
    ways: Vec<u64>,
    /// In 10,000 ways, those that take up to three seconds.
    n_slow: u64,
}

impl Weather {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let is_fair = dice.percent(15);
        let mut chance = || match dice.below(4) {
            _ if is_fair => 0,
            0 | 1 => 0,
            2 => dice.below(150),
            _ => dice.below(900),
        };
        let chances = [chance(), chance(), chance(), chance(), chance()];
        let ways = match dice.below(5) {
            0 => vec![0],
            1 => vec![0, 0, 0, 1],
            2 => vec![1],
            3 => vec![0, 0, 1, 2, 5],
            _ => vec![0, 1, 3, 10, 40],
        };
        let n_slow = if dice.percent(30) { dice.below(100) } else { 0 };
        Self { chances, ways, n_slow }
    }

    /// What becomes of a verb; one that only reads is never in doubt.
    pub(super) fn fate(&self, dice: &mut Dice, is_read: bool) -> Fate {
        let mut roll = dice.below(10_000);
        let late = dice.below(2_000);
        for (at, chance) in self.chances.iter().enumerate() {
            if roll < *chance {
                return match at {
                    0 => Fate::Busy,
                    1 => Fate::Cut,
                    _ if is_read => Fate::Cut,
                    2 => Fate::Unheard,
                    3 => Fate::Unanswered,
                    _ => Fate::Late(Duration::from_millis(late)),
                };
            }
            roll -= chance;
        }
        Fate::Done
    }

    /// How long a way takes.
    pub(super) fn way(&self, dice: &mut Dice) -> Duration {
        let ms = if dice.below(10_000) < self.n_slow {
            dice.below(3_000)
        } else {
            self.ways[dice.position(self.ways.len())]
        };
        Duration::from_millis(ms)
    }
}
