//! How often something may start.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// So many starts per second, minute or hour, evenly spread: `"10/s"`, `"90/min"`, `"1000/h"`.
///
/// ```
/// use std::time::Duration;
/// use anio_core::task::Rate;
///
/// let rate: Rate = "10/s".parse()?;
/// assert_eq!(rate.interval(), Duration::from_millis(100));
/// assert_eq!(rate.to_string(), "10/s");
/// assert!("10".parse::<Rate>().is_err());
/// assert!("0/s".parse::<Rate>().is_err());
/// # Ok::<(), anio_core::task::InvalidRate>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    n: u32,
    per: Per,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Per {
    Second,
    Minute,
    Hour,
}

/// The most starts per unit of time.
const RATE_MAX: u32 = 1_000_000;

/// A text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no rate; write how many per second, minute or hour: \"10/s\", \"90/min\", \"1000/h\" (1 to 1000000)"
)]
pub struct InvalidRate {
    /// The text.
    pub text: String,
}

impl Rate {
    /// So many per second.
    ///
    /// # Errors
    /// [`InvalidRate`] for 0, and over 1,000,000.
    pub fn per_second(n: u32) -> Result<Self, InvalidRate> {
        Self { n, per: Per::Second }.checked(&format!("{n}/s"))
    }

    /// How long it is from one start to the next.
    pub fn interval(self) -> Duration {
        let per = match self.per {
            Per::Second => Duration::from_secs(1),
            Per::Minute => Duration::from_secs(60),
            Per::Hour => Duration::from_secs(3600),
        };
        per / self.n
    }

    /// How many there are per unit.
    pub fn n(self) -> u32 {
        self.n
    }

    fn checked(self, text: &str) -> Result<Self, InvalidRate> {
        let is_valid = (1..=RATE_MAX).contains(&self.n);
        is_valid.then_some(self).ok_or_else(|| InvalidRate { text: text.to_owned() })
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let invalid = || InvalidRate { text: text.to_owned() };
        let (n, per) = text.split_once('/').ok_or_else(invalid)?;
        let n = n.trim().parse().map_err(|_| invalid())?;
        let per = match per.trim() {
            "s" => Per::Second,
            "min" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(invalid()),
        };
        Self { n, per }.checked(text)
    }
}

impl TryFrom<&str> for Rate {
    type Error = InvalidRate;

    fn try_from(text: &str) -> Result<Self, InvalidRate> {
        text.parse()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Second => "s",
            Per::Minute => "min",
            Per::Hour => "h",
        };
        write!(f, "{}/{per}", self.n)
    }
}
