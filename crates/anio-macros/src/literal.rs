//! Durations and rates written as text: `"200ms"`, `"30s"`, `"5m"`, `"1h"`, `"7d"`; `"10/s"`.

use std::time::Duration;

use syn::LitStr;

const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Whether a duration may be zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    Allowed,
    Refused,
}

/// Reads a duration of at most 365 days.
pub(crate) fn duration(literal: &LitStr, zero: Zero) -> syn::Result<Duration> {
    read(&literal.value(), zero).map_err(|problem| syn::Error::new_spanned(literal, problem))
}

const RATE_MAX: u32 = 1_000_000;

/// Checks a rate by the rules of the core's `Rate`.
pub(crate) fn rate(literal: &LitStr) -> syn::Result<()> {
    let text = literal.value();
    if is_rate(&text) {
        return Ok(());
    }
    let message = format!(
        "{text:?} is no rate; write how many per second, minute or hour: \"10/s\", \"90/min\", \"1000/h\" \
         (1 to {RATE_MAX})"
    );
    Err(syn::Error::new_spanned(literal, message))
}

fn is_rate(text: &str) -> bool {
    let Some((n, per)) = text.split_once('/') else { return false };
    let n = n.trim().parse::<u32>().ok();
    n.is_some_and(|n| (1..=RATE_MAX).contains(&n)) && ["s", "min", "h"].contains(&per.trim())
}

fn read(text: &str, zero: Zero) -> Result<Duration, String> {
    const FORM: &str = "a duration is a whole number with a unit: ms, s, m (or min), h, d; such as \"30s\"";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if !number.is_empty() => return Err(format!("{text:?} has no unit; {FORM}")),
        unit if !number.is_empty() => return Err(format!("{unit:?} is not a unit; {FORM}")),
        _ => return Err(format!("{text:?} is not a duration; {FORM}")),
    };
    let too_long = || format!("{text:?} is longer than 365 days");
    let duration = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms))
        .map(Duration::from_millis)
        .filter(|duration| *duration <= DURATION_MAX)
        .ok_or_else(too_long)?;
    if duration.is_zero() && zero == Zero::Refused {
        return Err(format!("{text:?} is zero; leave it out instead"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, ms) in [
            ("200ms", 200),
            ("30s", 30_000),
            ("5m", 300_000),
            ("5min", 300_000),
            ("1 h", 3_600_000),
            ("365d", 31_536_000_000),
            ("0s", 0),
        ] {
            assert_eq!(read(text, Zero::Allowed), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn rates_are_known() {
        for (text, good) in [
            ("10/s", true),
            ("90 / min", true),
            ("1000000/h", true),
            ("10", false),
            ("0/s", false),
            ("1000001/s", false),
            ("-1/s", false),
            ("1.5/s", false),
            ("10/d", false),
            ("", false),
        ] {
            assert_eq!(is_rate(text), good, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for (text, part) in [
            ("30", "has no unit"),
            ("30 seconds", "\"seconds\" is not a unit"),
            ("soon", "is not a duration"),
            ("", "is not a duration"),
            ("-1s", "is not a duration"),
            ("1.5s", "is not a unit"),
            ("366d", "longer than 365 days"),
            ("99999999999999999999s", "longer than 365 days"),
            ("0s", "is zero"),
        ] {
            let problem = read(text, Zero::Refused).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }
}
