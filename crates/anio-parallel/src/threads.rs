//! How many threads a pool has, as a number or as text: `"8"`, `"2x"`, `"auto"`.

use std::str::FromStr;

use crate::quantity::QuantityError;

/// How many threads a pool has.
///
/// As text: a whole number, `"8"`; a whole number of threads for each core, `"2x"`; or `"auto"`, one for each core.
/// Cores are those that this process may use when the text is read. What may be too few or too many, the pool says.
///
/// ```
/// use anio_parallel::Threads;
///
/// let auto: Threads = "auto".parse()?;
/// let twice: Threads = "2x".parse()?;
/// assert_eq!(twice.n_threads(), 2 * auto.n_threads());
/// assert_eq!("8".parse(), Ok(Threads::from(8)));
///
/// let error = "many".parse::<Threads>().unwrap_err();
/// assert!(error.to_string().starts_with("\"many\" is no number of threads; "));
/// # Ok::<(), anio_parallel::QuantityError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Threads(usize);

impl Threads {
    /// So many for each core that this process may use.
    pub fn per_core(n_threads: usize) -> Self {
        Self(n_threads.saturating_mul(n_cores()))
    }

    /// The number.
    pub const fn n_threads(self) -> usize {
        self.0
    }
}

impl From<usize> for Threads {
    fn from(n_threads: usize) -> Self {
        Self(n_threads)
    }
}

impl TryFrom<&str> for Threads {
    type Error = QuantityError;

    fn try_from(text: &str) -> Result<Self, QuantityError> {
        text.parse()
    }
}

impl FromStr for Threads {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let written = text.trim();
        if written == "auto" {
            return Ok(Self::per_core(1));
        }
        let (number, of): (&str, fn(usize) -> Self) = match written.strip_suffix('x') {
            Some(number) => (number, Self::per_core),
            None => (written, Self),
        };
        if number.is_empty() || !number.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(QuantityError::NotThreads { text: text.to_owned() });
        }
        // Digits alone fail only by being too many.
        Ok(of(number.parse().unwrap_or(usize::MAX)))
    }
}

/// How many cores this process may use; 1 where nobody knows.
pub(crate) fn n_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_multiples_of_the_cores_and_auto_are_read() {
        for (text, n_threads) in [
            ("8", 8),
            (" 1 ", 1),
            ("0", 0),
            ("auto", n_cores()),
            ("1x", n_cores()),
            ("3x", 3 * n_cores()),
            ("0x", 0),
            ("99999999999999999999", usize::MAX),
            ("99999999999999999999x", usize::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Threads(n_threads)), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_threads_is_named_with_what_is_allowed() {
        for text in ["", "x", "many", "1.5x", "-1", "+1", "2 x", "x2", "2X", "2xx", "Auto"] {
            let error = text.parse::<Threads>().unwrap_err();
            assert_eq!(error, QuantityError::NotThreads { text: text.to_owned() });
            assert!(error.to_string().contains("\"2x\"") && error.to_string().contains("auto"), "{error}");
        }
    }
}
