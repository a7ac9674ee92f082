//! One file on a disk that can lose its power: its durable content, and the writes since. Knows neither the real file
//! nor the writer.

use super::Chance;

/// A unit that a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A file.
#[derive(Debug)]
pub struct Medium {
    /// The synced content. None: not even the name was synced, and a power cut may remove it too.
    durable: Option<Vec<u8>>,
    /// The durable content of the file that had this name before, and was deleted without a sync of the directory.
    former: Option<Vec<u8>>,
    /// Whether the page cache shows the file.
    exists: bool,
    /// The writes since the last sync, in order.
    pending: Vec<Change>,
    /// Whether the page cache shows writes that a failed sync has lost.
    deceptive: bool,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

impl Medium {
    /// An existing file, with its content.
    #[must_use]
    pub fn found(content: Vec<u8>) -> Self {
        Self { durable: Some(content), former: None, exists: true, pending: Vec::new(), deceptive: false }
    }

    /// A new file.
    #[must_use]
    pub fn created() -> Self {
        Self { durable: None, former: None, exists: true, pending: Vec::new(), deceptive: false }
    }

    /// Records that its name was created again after it was deleted.
    pub fn create_again(&mut self) {
        self.exists = true;
    }

    /// Records a write.
    pub fn write(&mut self, at: usize, bytes: &[u8]) {
        self.pending.push(Change::Write { at, bytes: bytes.to_vec() });
    }

    /// Records a new length.
    pub fn truncate(&mut self, length: usize) {
        self.pending.push(Change::Truncate(length));
    }

    /// Records that it was deleted; `durably` with a sync of its directory.
    pub fn delete(&mut self, durably: bool) {
        let durable = self.durable.take();
        self.former = if durably { None } else { durable.or(self.former.take()) };
        self.pending.clear();
        (self.exists, self.deceptive) = (false, false);
    }

    /// Records that its directory was synced, and so the names in it.
    pub fn sync_name(&mut self) {
        self.former = None;
        if self.exists {
            self.durable.get_or_insert_default();
        }
    }

    /// Whether a power cut may remove its name.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.exists && self.durable.is_none()
    }

    /// Makes everything durable.
    pub fn sync(&mut self) {
        let mut content = self.durable.take().unwrap_or_default();
        self.pending.drain(..).for_each(|change| change.apply(&mut content));
        (self.durable, self.former) = (Some(content), None);
    }

    /// Records a failed sync: chance decides whether none, some or all of the writes became durable. The others never
    /// do.
    pub fn fail_sync(&mut self, chance: &mut Chance) {
        let mut content = self.durable.take().unwrap_or_default();
        let fate = chance.below(3);
        for change in std::mem::take(&mut self.pending) {
            if fate == 0 || (fate == 1 && chance.coin()) {
                change.apply(&mut content);
            }
        }
        (self.durable, self.former, self.deceptive) = (Some(content), None, true);
    }

    /// The content once the page cache has dropped the writes that a failed sync has lost. None: it shows no others.
    pub fn without_cache(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.deceptive).then(|| {
            let mut content = self.durable.clone().unwrap_or_default();
            self.pending.iter().cloned().for_each(|change| change.apply(&mut content));
            content
        })
    }

    /// The content that a power cut leaves. None: no file.
    #[must_use]
    pub fn after_cut(&self, chance: &mut Chance) -> Option<Vec<u8>> {
        if !self.exists || self.durable.is_none() {
            let former = self.former.clone().filter(|_| chance.coin());
            if former.is_some() || !self.exists || chance.coin() {
                return former;
            }
        }
        let mut content = self.durable.clone().unwrap_or_default();
        let prefix = chance.below(self.pending.len() as u64 + 1);
        let fate = chance.below(5);
        for (change, index) in self.pending.iter().cloned().zip(0..) {
            match fate {
                0 => {}
                1 => change.apply(&mut content),
                2 if index < prefix => change.apply(&mut content),
                3 if chance.coin() => change.apply(&mut content),
                4 => change.sectors().filter(|_| chance.coin()).for_each(|part| part.apply(&mut content)),
                _ => {}
            }
        }
        Some(content)
    }
}

impl Change {
    fn apply(self, content: &mut Vec<u8>) {
        match self {
            Self::Truncate(length) => content.resize(length, 0),
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(place) = content.get_mut(at..end) {
                    place.copy_from_slice(&bytes);
                }
            }
        }
    }

    /// The parts of a write that share no sector of the file.
    fn sectors(self) -> impl Iterator<Item = Self> {
        let mut rest = Some(self);
        std::iter::from_fn(move || match rest.take()? {
            Self::Write { at, mut bytes } => {
                let first = SECTOR_BYTES - at % SECTOR_BYTES;
                if bytes.len() > first {
                    rest = Some(Self::Write { at: at + first, bytes: bytes.split_off(first) });
                }
                Some(Self::Write { at, bytes })
            }
            truncate @ Self::Truncate(_) => Some(truncate),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every content that cuts of a file with `pending` writes after a sync of `old` leave.
    fn outcomes(make: impl Fn() -> Medium) -> BTreeSet<Option<Vec<u8>>> {
        (0..2_000).map(|seed| make().after_cut(&mut Chance::new(seed))).collect()
    }

    #[test]
    fn a_cut_keeps_what_was_synced_and_any_part_of_the_rest() {
        let left = outcomes(|| {
            let mut medium = Medium::created();
            medium.write(0, b"ab");
            medium.sync();
            medium.write(0, b"A");
            medium.write(1, b"B");
            medium
        });
        let all = ["ab", "Ab", "aB", "AB"].map(|content| Some(content.as_bytes().to_vec()));
        assert_eq!(left, BTreeSet::from(all));
    }

    #[test]
    fn a_write_may_be_torn_at_a_sector() {
        let left = outcomes(|| {
            let mut medium = Medium::found(vec![0; 1_024]);
            medium.write(500, &[1; 24]);
            medium
        });
        let mut torn = vec![0; 1_024];
        torn[512..524].fill(1);
        assert!(left.contains(&Some(torn)), "never torn");
        assert_eq!(left.len(), 4, "torn elsewhere");
    }

    #[test]
    fn a_new_file_may_vanish_and_a_deleted_one_come_back() {
        assert_eq!(outcomes(Medium::created), BTreeSet::from([None, Some(Vec::new())]));
        let deleted = |durably| {
            outcomes(|| {
                let mut medium = Medium::found(b"old".to_vec());
                medium.delete(durably);
                medium
            })
        };
        assert_eq!(deleted(false), BTreeSet::from([None, Some(b"old".to_vec())]));
        assert_eq!(deleted(true), BTreeSet::from([None]));
    }

    #[test]
    fn what_a_failed_sync_lost_is_not_saved_by_the_next() {
        let mut lost = 0;
        for seed in 0..100 {
            let mut medium = Medium::found(b"old".to_vec());
            medium.write(0, b"new");
            medium.fail_sync(&mut Chance::new(seed));
            medium.write(3, b"!");
            medium.sync();
            let seen = medium.without_cache();
            assert!(seen == Some(b"old!".to_vec()) || seen == Some(b"new!".to_vec()), "{seen:?}");
            lost += u32::from(seen == Some(b"old!".to_vec()));
            assert_eq!(medium.without_cache(), None);
        }
        assert!((1..100).contains(&lost), "{lost}");
    }
}
