//! A second way to a file, past the system's cache. What is written there is on its way to the disk at once, by the one who
//! writes it: a commit of a page or two then costs half of what it does where the cache is filled first and `fdatasync` goes
//! through it. But whoever reads it later reads the disk, so this is for when it is quiet.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, fstatfs};

use super::held::BLOCK_BYTES;

/// Where a file may be read by way of the cache while it is written past it: ext2 to 4 and XFS, which drop what the cache has
/// of a block once it is written (open(2), on `O_DIRECT`; statfs(2) for the numbers).
const COHERENT: [u64; 2] = [0xEF53, 0x5846_5342];

/// The most that is short.
const SHORT_BYTES_MAX: usize = 5 * BLOCK_BYTES;

/// It is quiet after so many short writes in a row.
const QUIET_AFTER: u8 = 4;

/// The way past the cache, for as long as it works.
pub(super) struct Direct {
    file: Option<File>,
    /// Short writes in a row, as far as they count.
    short: u8,
    /// The last one went past the cache.
    was_last: bool,
}

/// How something is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As blocks, past the cache.
    Past,
    /// As blocks, by way of the cache: it may have nothing of the first one, and would read it.
    Blocks,
    /// As it is, by way of the cache.
    Plain,
}

impl Direct {
    /// To a file that stands. Where it cannot be written like this, nothing is.
    pub(super) fn to(path: &Path) -> Self {
        let open = || {
            let file = File::options().write(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(path)?;
            let is_coherent = COHERENT.contains(&(fstatfs(&file)?.f_type as u64));
            io::Result::Ok(is_coherent.then_some(file))
        };
        Self { file: open().unwrap_or_default(), ..Self::none() }
    }

    /// Nothing is written like this.
    pub(super) fn none() -> Self {
        Self { file: None, short: 0, was_last: false }
    }

    /// How the next bytes are to be written, so many.
    pub(super) fn way(&mut self, length: usize) -> Way {
        let is_quiet = self.short >= QUIET_AFTER;
        let is_short = length <= SHORT_BYTES_MAX;
        self.short = if is_short { (self.short + 1).min(QUIET_AFTER) } else { 0 };
        let was_last = std::mem::replace(&mut self.was_last, false);
        if self.file.is_some() && is_short && is_quiet {
            return Way::Past;
        }
        if was_last { Way::Blocks } else { Way::Plain }
    }

    /// Writes blocks from an address that suits. False: they are not written, or only a part is.
    pub(super) fn write(&mut self, blocks: &[u8], at: i64) -> bool {
        let (Some(file), Ok(at)) = (&self.file, u64::try_from(at)) else { return false };
        let written = file.write_all_at(blocks, at);
        if let Err(error) = &written {
            tracing::warn!(%error, "the log is written by way of the system's cache from now on");
            self.file = None;
        }
        self.was_last = true;
        written.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_past_the_cache_is_for_when_it_is_quiet() {
        let file = tempfile::tempfile().ok();
        assert!(file.is_some());
        let mut direct = Direct { file, ..Direct::none() };
        let (short, long) = (8_240, 60_000);
        let ways = |direct: &mut Direct, lengths: &[usize]| -> Vec<Way> {
            lengths
                .iter()
                .map(|length| {
                    let way = direct.way(*length);
                    assert!(way != Way::Past || direct.write(&[0; BLOCK_BYTES], 0));
                    way
                })
                .collect()
        };
        use Way::{Blocks, Past, Plain};
        assert_eq!(ways(&mut direct, &[short; 6]), [Plain, Plain, Plain, Plain, Past, Past]);
        assert_eq!(ways(&mut direct, &[long, long, short]), [Blocks, Plain, Plain]);
        assert_eq!(ways(&mut direct, &[long, short, long, short]), [Plain; 4], "a long one after each");
        assert_eq!(ways(&mut direct, &[short; 4]), [Plain, Plain, Plain, Past]);
        assert_eq!(ways(&mut Direct::none(), &[short; 9]), [Plain; 9]);
    }

    #[test]
    fn where_it_does_not_work_it_is_left() {
        let directory = tempfile::tempdir();
        let written = directory.map(|directory| {
            let path = directory.path().join("log");
            let made = std::fs::write(&path, [0; 8]);
            // Opened for reading alone, so that no write succeeds.
            (made.is_ok(), Direct { file: File::open(&path).ok(), short: QUIET_AFTER, was_last: false })
        });
        let Ok((true, mut direct)) = written else { unreachable!("a file can be made") };
        assert_eq!(direct.way(100), Way::Past);
        assert!(!direct.write(&[0; BLOCK_BYTES], 0));
        assert_eq!(direct.way(100), Way::Blocks, "a part of it may have been written");
        assert_eq!(direct.way(100), Way::Plain);
    }
}
