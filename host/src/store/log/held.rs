//! What was appended to the log and is not written yet, and how the block begins in which the next goes on. Knows nothing of
//! files.

/// What a file is written in past the system's cache: whole blocks, from addresses and to places that are multiples of one.
pub(super) const BLOCK_BYTES: usize = 4_096;

/// What stands before each page.
const HEADER_BYTES: usize = 24;

/// The largest page that SQLite knows.
const PAGE_BYTES_MAX: usize = 64 << 10;

/// When so much is held it is written, be there a commit or not. SQLite's own VFS writes less than 128 KiB at once.
const HELD_BYTES_MAX: usize = 60 << 10;

/// The end of the log.
pub(super) struct Held {
    /// Where the bytes are: from the first address in it that is a multiple of a block.
    memory: Box<[u8]>,
    length: usize,
    /// How many of them are written: they begin the block in which the others go on.
    written: usize,
    /// Where they belong in the log. At the start of a block, unless it is not known what that begins with.
    at: i64,
    /// A frame's page is still to come: whether the frame commits.
    begun: Option<bool>,
}

/// What has become of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// They are held.
    Held,
    /// They are held, and what is held is to be written.
    Due,
    /// They are not held.
    No,
}

impl Held {
    /// The end of a log of which nothing is known.
    pub(super) fn new() -> Self {
        // What is written already and what fills the last block take less than a block each, and so does finding the first
        // address.
        let memory = vec![0; 3 * BLOCK_BYTES + HELD_BYTES_MAX + HEADER_BYTES + PAGE_BYTES_MAX].into_boxed_slice();
        Self { memory, length: 0, written: 0, at: 0, begun: None }
    }

    /// Takes what is appended: a frame's header, or the page after it.
    pub(super) fn take(&mut self, bytes: &[u8], at: i64) -> Taken {
        let begun = self.begun.take();
        if at != self.end() {
            return Taken::No;
        }
        let is_commit = match begun {
            None if bytes.len() == HEADER_BYTES => {
                self.begun = Some(commits(bytes));
                false
            }
            None => return Taken::No,
            Some(commits) => commits,
        };
        if !self.push(bytes) {
            return Taken::No;
        }
        if is_commit || self.length() >= HELD_BYTES_MAX { Taken::Due } else { Taken::Held }
    }

    /// How much there is to write.
    pub(super) fn length(&self) -> usize {
        self.length - self.written
    }

    /// What is to be written, and where; and whether it is whole blocks. That is so where it is wanted and known what the first
    /// of them begins with: after the log's end there are zeros then, of which SQLite sees that they are no frame.
    pub(super) fn unwritten(&mut self, as_blocks: bool) -> (&[u8], i64, bool) {
        let (mut from, mut to, at) = (self.written, self.length, self.at);
        let are_blocks = as_blocks && at % BLOCK_BYTES as i64 == 0;
        if are_blocks {
            (from, to) = (0, to.next_multiple_of(BLOCK_BYTES));
            let end = self.length..to;
            self.bytes_mut().get_mut(end).unwrap_or_default().fill(0);
        }
        (self.bytes_mut().get(from..to).unwrap_or_default(), at + from as i64, are_blocks)
    }

    /// What is held has been written.
    pub(super) fn was_written(&mut self) {
        let (length, from) = (self.length, self.at);
        let start = start_of_last_block(from, self.end());
        self.bytes_mut().copy_within(start..length, 0);
        (self.at, self.length) = (from + start as i64, length - start);
        self.written = self.length;
    }

    /// What is held could not be written, and nobody counts on it.
    pub(super) fn give_up(&mut self) {
        (self.length, self.begun) = (self.written, None);
    }

    /// Something was written past this, when nothing was held.
    pub(super) fn passed_by(&mut self, bytes: &[u8], at: i64) {
        let start = start_of_last_block(at, at + bytes.len() as i64);
        (self.at, self.length, self.begun) = (at + start as i64, 0, None);
        let _ = self.push(bytes.get(start..).unwrap_or_default());
        self.written = self.length;
    }

    /// Adds bytes where there is room, as there always is for a frame beside what is not due.
    #[must_use]
    fn push(&mut self, bytes: &[u8]) -> bool {
        let length = self.length;
        let Some(place) = self.bytes_mut().get_mut(length..length + bytes.len()) else { return false };
        place.copy_from_slice(bytes);
        self.length += bytes.len();
        true
    }

    fn end(&self) -> i64 {
        self.at + self.length as i64
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let first = self.memory.as_ptr().align_offset(BLOCK_BYTES);
        self.memory.get_mut(first..).unwrap_or_default()
    }
}

/// Whether a frame with this header ends a transaction: the length of the database after it stands there then, in pages.
fn commits(header: &[u8]) -> bool {
    header.get(4..8).is_some_and(|pages| pages != [0; 4])
}

/// How far it is from one place to where the block starts in which the other is; nothing, when that is before it.
fn start_of_last_block(from: i64, end: i64) -> usize {
    let start = end - end % BLOCK_BYTES as i64;
    usize::try_from(start - from).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a test says what it expects")]

    use super::*;

    const PAGE_BYTES: usize = 4_096;
    const FRAME_BYTES: i64 = (HEADER_BYTES + PAGE_BYTES) as i64;

    fn header(pages_after: u8) -> [u8; HEADER_BYTES] {
        let mut header = [1; HEADER_BYTES];
        header[4..8].copy_from_slice(&[0, 0, 0, pages_after]);
        header
    }

    /// Appends a frame, and says what became of its page.
    fn append(held: &mut Held, pages_after: u8) -> Taken {
        assert_eq!(held.take(&header(pages_after), held.end()), Taken::Held);
        held.take(&[2; PAGE_BYTES], held.end())
    }

    /// After a log's header of 32 threes.
    fn fresh() -> Held {
        let mut held = Held::new();
        held.passed_by(&[3; 32], 0);
        held
    }

    #[test]
    fn frames_are_held_until_the_one_that_commits() {
        let mut held = fresh();
        for _ in 0..3 {
            assert_eq!(append(&mut held, 0), Taken::Held);
        }
        assert_eq!(append(&mut held, 7), Taken::Due);
        let (bytes, at, _) = held.unwritten(false);
        assert_eq!((bytes.len() as i64, at), (4 * FRAME_BYTES, 32));
        held.was_written();
        assert_eq!(held.length(), 0);
        assert_eq!(held.end(), 32 + 4 * FRAME_BYTES);
        assert_eq!(append(&mut held, 7), Taken::Due);
        held.give_up();
        assert_eq!(held.length(), 0);
        assert_eq!(held.end(), 32 + 4 * FRAME_BYTES, "the next comes in the place of what failed");
    }

    #[test]
    fn blocks_begin_with_what_was_written_before_and_end_with_zeros() {
        let mut held = fresh();
        let mut log = vec![9; 1 << 20];
        log[..32].fill(3);
        let mut whole = log.clone();
        for frames in [1, 1, 2, 5, 1, 14, 1] {
            (1..frames).for_each(|_| assert_eq!(append(&mut held, 0), Taken::Held));
            assert_eq!(append(&mut held, 1), Taken::Due);
            let (bytes, at, _) = held.unwritten(false);
            log[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
            let (blocks, at, are_blocks) = held.unwritten(true);
            assert_eq!((blocks.len() % BLOCK_BYTES, at % BLOCK_BYTES as i64, are_blocks), (0, 0, true));
            assert_eq!(blocks.as_ptr().align_offset(BLOCK_BYTES), 0);
            whole[at as usize..at as usize + blocks.len()].copy_from_slice(blocks);
            held.was_written();
            let end = held.end() as usize;
            assert!(whole[..end] == log[..end]);
            let filled = end.next_multiple_of(BLOCK_BYTES);
            assert!(whole[end..filled].iter().all(|byte| *byte == 0) && whole[filled..].iter().all(|byte| *byte == 9));
        }
    }

    #[test]
    fn what_a_block_begins_with_is_known_again_after_a_page() {
        let mut held = fresh();
        held.passed_by(&[4; HEADER_BYTES], 50_000);
        assert_eq!(append(&mut held, 1), Taken::Due);
        let (bytes, at, are_blocks) = held.unwritten(true);
        assert_eq!((bytes.len() as i64, at, are_blocks), (FRAME_BYTES, 50_024, false));
        held.was_written();
        assert_eq!(append(&mut held, 1), Taken::Due);
        let (blocks, at, _) = held.unwritten(true);
        assert_eq!((blocks.len(), at), (2 * BLOCK_BYTES, 53_248));

        held.passed_by(&[5; PAGE_BYTES], 10_000);
        assert_eq!(append(&mut held, 1), Taken::Due);
        let (blocks, at, _) = held.unwritten(true);
        assert_eq!(at, 12_288);
        assert!(blocks[..10_000 + PAGE_BYTES - 12_288].iter().all(|byte| *byte == 5));
    }

    #[test]
    fn a_transaction_that_is_long_is_written_in_pieces_that_sqlite_takes() {
        for page_bytes in [512, PAGE_BYTES, PAGE_BYTES_MAX] {
            let (mut held, mut pieces) = (fresh(), 0);
            for _ in 0..2_000 {
                assert_eq!(held.take(&header(0), held.end()), Taken::Held);
                match held.take(&vec![2; page_bytes], held.end()) {
                    Taken::Due => {
                        assert!(held.unwritten(true).0.len() < 1 << 17);
                        held.was_written();
                        pieces += 1;
                    }
                    taken => assert_eq!(taken, Taken::Held),
                }
            }
            assert!(pieces > 10, "{pieces} of pages of {page_bytes}");
        }
    }

    #[test]
    fn nothing_is_held_but_what_is_appended_as_a_frame() {
        for (what, bytes, at) in [
            ("a log's header", 32, 0),
            ("a page alone", PAGE_BYTES, 32),
            ("a frame's header elsewhere", HEADER_BYTES, 31),
            ("nothing", 0, 32),
        ] {
            let mut held = fresh();
            assert_eq!(held.take(&vec![1; bytes], at), Taken::No, "{what}");
            assert_eq!(held.length(), 0, "{what}");
        }
        let mut held = fresh();
        assert_eq!(held.take(&header(1), 32), Taken::Held);
        assert_eq!(held.take(&[1; PAGE_BYTES], 5_000), Taken::No, "the page of another frame");
        assert_eq!(held.unwritten(false), (header(1).as_slice(), 32, false));
    }
}
