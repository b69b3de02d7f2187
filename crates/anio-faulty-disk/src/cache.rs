//! What was written and not synced: kept in memory, seen by all connections of the process, and gone with it.
//!
//! One per file. A sync hands everything on to the file. Where sectors are torn, each write of a sector
//! reaches the file at once by the toss of a coin; so whenever the process dies, the file has some of what
//! was not synced, and not what came before it. Knows nothing of SQLite.

use std::collections::BTreeMap;

use crate::plan::chance;

/// Bytes that reach a disk together or not at all.
const SECTOR: u64 = 512;

/// The file below.
pub(crate) trait Medium {
    type Error;

    /// Reads; what lies beyond the end is zero.
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), Self::Error>;
    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Self::Error>;
    /// Cuts or extends.
    fn truncate(&mut self, size: u64) -> Result<(), Self::Error>;
    fn size(&mut self) -> Result<u64, Self::Error>;
}

/// The changes of one file since it was last synced.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    sectors: BTreeMap<u64, [u8; SECTOR as usize]>,
    /// The size that the process sees, where it was changed.
    size: Option<u64>,
    /// The smallest size that it was cut to: what the file has beyond is no more.
    cut: Option<u64>,
    /// Whether sectors are torn, by which seed.
    torn: Option<u64>,
    n_tosses: u64,
}

impl Unsynced {
    pub(crate) fn new(torn: Option<u64>) -> Self {
        Self { torn, ..Self::default() }
    }

    pub(crate) fn size<M: Medium>(&self, file: &mut M) -> Result<u64, M::Error> {
        self.size.map_or_else(|| file.size(), Ok)
    }

    /// Reads; what lies beyond the end is zero. Returns whether all of it was there.
    pub(crate) fn read<M: Medium>(&self, file: &mut M, at: u64, bytes: &mut [u8]) -> Result<bool, M::Error> {
        file.read(at, bytes)?;
        let end = at + bytes.len() as u64;
        let size = self.size(file)?;
        let kept = self.cut.unwrap_or(u64::MAX).min(size);
        zero_from(bytes, kept.saturating_sub(at));
        for (ix, sector) in self.sectors.range(at / SECTOR..end.div_ceil(SECTOR)) {
            let (from, to) = overlap(*ix, at, end);
            bytes[(from - at) as usize..(to - at) as usize]
                .copy_from_slice(&sector[(from - ix * SECTOR) as usize..(to - ix * SECTOR) as usize]);
        }
        zero_from(bytes, size.saturating_sub(at));
        Ok(end <= size)
    }

    pub(crate) fn write<M: Medium>(&mut self, file: &mut M, at: u64, bytes: &[u8]) -> Result<(), M::Error> {
        let end = at + bytes.len() as u64;
        let size = self.size(file)?.max(end);
        for ix in at / SECTOR..end.div_ceil(SECTOR) {
            let mut sector = [0; SECTOR as usize];
            self.read(file, ix * SECTOR, &mut sector)?;
            let (from, to) = overlap(ix, at, end);
            sector[(from - ix * SECTOR) as usize..(to - ix * SECTOR) as usize]
                .copy_from_slice(&bytes[(from - at) as usize..(to - at) as usize]);
            if self.reaches_the_disk() {
                hand_on(file, ix, &sector, size)?;
            }
            self.sectors.insert(ix, sector);
        }
        self.size = Some(size);
        Ok(())
    }

    pub(crate) fn truncate<M: Medium>(&mut self, file: &mut M, size: u64) -> Result<(), M::Error> {
        self.sectors.split_off(&size.div_ceil(SECTOR));
        if let Some(sector) = self.sectors.get_mut(&(size / SECTOR)) {
            zero_from(sector, size % SECTOR);
        }
        self.cut = Some(self.cut.unwrap_or(u64::MAX).min(size));
        self.size = Some(size);
        if self.reaches_the_disk() { file.truncate(size) } else { Ok(()) }
    }

    /// Hands everything on.
    pub(crate) fn sync<M: Medium>(&mut self, file: &mut M) -> Result<(), M::Error> {
        if let Some(cut) = self.cut
            && file.size()? > cut
        {
            file.truncate(cut)?;
        }
        if let Some(size) = self.size {
            for (ix, sector) in &self.sectors {
                hand_on(file, *ix, sector, size)?;
            }
            if file.size()? != size {
                file.truncate(size)?;
            }
        }
        self.forget();
        Ok(())
    }

    /// Lets go of everything: the file is again what it was when it was last synced.
    pub(crate) fn forget(&mut self) {
        self.sectors.clear();
        (self.size, self.cut) = (None, None);
    }

    fn reaches_the_disk(&mut self) -> bool {
        self.n_tosses += 1;
        self.torn.is_some_and(|seed| chance(seed, self.n_tosses).is_multiple_of(2))
    }
}

fn hand_on<M: Medium>(file: &mut M, ix: u64, sector: &[u8], size: u64) -> Result<(), M::Error> {
    let n = size.saturating_sub(ix * SECTOR).min(SECTOR);
    file.write(ix * SECTOR, &sector[..n as usize])
}

/// From where to where a sector and a range overlap.
fn overlap(ix: u64, at: u64, end: u64) -> (u64, u64) {
    (at.max(ix * SECTOR), end.min((ix + 1) * SECTOR))
}

fn zero_from(bytes: &mut [u8], from: u64) {
    if from < bytes.len() as u64 {
        bytes[from as usize..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    impl Medium for Vec<u8> {
        type Error = Infallible;

        fn read(&mut self, at: u64, bytes: &mut [u8]) -> Result<(), Infallible> {
            for (n, byte) in bytes.iter_mut().enumerate() {
                *byte = self.get(at as usize + n).copied().unwrap_or(0);
            }
            Ok(())
        }

        fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Infallible> {
            let end = at as usize + bytes.len();
            self.resize(self.len().max(end), 0);
            self[at as usize..end].copy_from_slice(bytes);
            Ok(())
        }

        fn truncate(&mut self, size: u64) -> Result<(), Infallible> {
            self.resize(size as usize, 0);
            Ok(())
        }

        fn size(&mut self) -> Result<u64, Infallible> {
            Ok(self.len() as u64)
        }
    }

    fn seen(cache: &Unsynced, file: &mut Vec<u8>) -> Vec<u8> {
        let Ok(size) = cache.size(file);
        let mut bytes = vec![0xff; size as usize];
        assert_eq!(cache.read(file, 0, &mut bytes), Ok(true));
        bytes
    }

    /// A thousand random changes against a plain file that has them all: what is seen is always that file,
    /// what is on the disk is that of the last sync, and after a sync the two are the same.
    fn agrees_with_a_plain_file(torn: Option<u64>) {
        let (mut cache, mut file, mut plain) = (Unsynced::new(torn), vec![7; 3000], vec![7; 3000]);
        let mut synced = plain.clone();
        let mut n_torn = 0;
        for n in 0..1000 {
            let dice = |of: u64, max: u64| chance(of, n) % max;
            match dice(1, 20) {
                0 => {
                    let size = dice(2, 6000);
                    assert_eq!(cache.truncate(&mut file, size), Ok(()));
                    plain.resize(size as usize, 0);
                }
                1 => {
                    assert_eq!(cache.sync(&mut file), Ok(()));
                    assert_eq!(file, plain, "change {n}");
                    synced.clone_from(&plain);
                }
                _ => {
                    let bytes = vec![n as u8; dice(3, 1300) as usize];
                    let at = dice(4, 5000);
                    assert_eq!(cache.write(&mut file, at, &bytes), Ok(()));
                    assert_eq!(plain.write(at, &bytes), Ok(()));
                }
            }
            assert_eq!(seen(&cache, &mut file), plain, "change {n}");
            if torn.is_none() {
                assert_eq!(file, synced, "change {n}");
            }
            n_torn += u32::from(file != synced && file != plain);
        }
        assert_eq!(n_torn > 100, torn.is_some(), "{n_torn} of 1000 times something between");
    }

    #[test]
    fn what_was_not_synced_is_seen_and_not_on_the_disk() {
        agrees_with_a_plain_file(None);
    }

    #[test]
    fn what_is_torn_is_seen_whole_and_is_on_the_disk_in_part() {
        agrees_with_a_plain_file(Some(3));
    }

    #[test]
    fn what_is_forgotten_is_as_it_was_synced() {
        let (mut cache, mut file) = (Unsynced::new(None), vec![1; 600]);
        assert_eq!(cache.write(&mut file, 500, &[2; 300]), Ok(()));
        assert_eq!(cache.truncate(&mut file, 700), Ok(()));
        assert_eq!(seen(&cache, &mut file).len(), 700);
        cache.forget();
        assert_eq!(seen(&cache, &mut file), [1; 600]);
    }

    #[test]
    fn a_read_beyond_the_end_is_zero_and_said_to_be_short() {
        let (mut cache, mut file) = (Unsynced::new(None), vec![1; 10]);
        let mut bytes = [9; 8];
        assert_eq!((cache.read(&mut file, 6, &mut bytes), bytes), (Ok(false), [1, 1, 1, 1, 0, 0, 0, 0]));
        assert_eq!(cache.truncate(&mut file, 8), Ok(()));
        assert_eq!((cache.read(&mut file, 6, &mut bytes), bytes), (Ok(false), [1, 1, 0, 0, 0, 0, 0, 0]));
    }
}
