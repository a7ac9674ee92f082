//! The lines of a file, of which a too long one takes no more memory than the others.

use std::io::{self, BufRead};

/// Reads lines.
pub(super) struct Lines<R> {
    input: R,
    bytes_max: usize,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A whole line with its end, or the last one without.
    Whole,
    /// It has more bytes than are read. It was skipped.
    TooLong,
    /// The file has ended.
    End,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R, bytes_max: usize) -> Self {
        Self { input, bytes_max }
    }

    /// Reads a line in place of what `line` held.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Line> {
        line.clear();
        let mut is_too_long = false;
        loop {
            let available = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                available => available?,
            };
            let end = available.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let taken = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
            let (count, is_last) = (taken.len(), end.is_some() || taken.is_empty());
            is_too_long |= line.len() + count > self.bytes_max;
            if !is_too_long {
                line.extend_from_slice(taken);
            }
            self.input.consume(count);
            if is_last {
                return Ok(match (is_too_long, line.is_empty()) {
                    (true, _) => Line::TooLong,
                    (false, true) => Line::End,
                    (false, false) => Line::Whole,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_whole_and_a_too_long_one_is_skipped() {
        for capacity in [1, 2, 3, 64] {
            let input = io::BufReader::with_capacity(capacity, &b"ab\n\nabcdefgh\nabc\nx"[..]);
            let (mut lines, mut line) = (Lines::new(input, 4), Vec::new());
            for expected in [Some("ab\n"), Some("\n"), None, Some("abc\n"), Some("x")] {
                let read = lines.next(&mut line).unwrap();
                assert_eq!(read, if expected.is_some() { Line::Whole } else { Line::TooLong }, "{capacity}");
                if let Some(expected) = expected {
                    assert_eq!(line, expected.as_bytes(), "{capacity}");
                }
            }
            assert_eq!(lines.next(&mut line).unwrap(), Line::End);
        }
    }
}
