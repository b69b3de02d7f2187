//! How much room is left.

use std::collections::HashMap;

use crate::plan::Quota;

/// The sizes of all files, against a bound that moves.
#[derive(Debug)]
pub(crate) struct Room {
    quota: Quota,
    bytes_max: u64,
    n_refused: u64,
    sizes: HashMap<String, u64>,
}

impl Room {
    pub(crate) fn new(quota: Quota) -> Self {
        Self { quota, bytes_max: quota.bytes, n_refused: 0, sizes: HashMap::new() }
    }

    /// The size of a file, when it is opened, cut or removed.
    pub(crate) fn is_now(&mut self, file: &str, bytes: u64) {
        self.sizes.insert(file.to_owned(), bytes);
    }

    /// Whether a file may grow to a size; it has it then. One that does not grow always may.
    pub(crate) fn grow(&mut self, file: &str, bytes: u64) -> bool {
        let before = self.sizes.get(file).copied().unwrap_or_default();
        let used: u64 = self.sizes.values().sum();
        let wanted = used - before + before.max(bytes);
        if bytes <= before || wanted <= self.bytes_max {
            self.is_now(file, before.max(bytes));
            return true;
        }
        self.n_refused += 1;
        if self.n_refused == self.quota.refusals {
            self.n_refused = 0;
            self.bytes_max = wanted + self.quota.bytes;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_beyond_the_quota_is_refused_until_there_is_room_again() {
        let mut room = Room::new(Quota { bytes: 100, refusals: 2 });
        room.is_now("a", 60);
        assert!(room.grow("b", 40));
        assert!(!room.grow("b", 41), "the first refusal");
        assert!(room.grow("a", 60), "nothing grows");
        assert!(!room.grow("b", 50), "the second");
        assert!(room.grow("b", 150));
        assert!(!room.grow("b", 151));
        room.is_now("a", 0);
        assert!(room.grow("b", 200));
    }

    #[test]
    fn without_refusals_there_is_never_room_again() {
        let mut room = Room::new(Quota { bytes: 1, refusals: 0 });
        assert!((0..1000).all(|_| !room.grow("a", 2)));
    }
}
