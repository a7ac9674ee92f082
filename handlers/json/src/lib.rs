//! What stands in a JSON string as it is, and what does not. No component, but part of those that write JSON and read it, and of
//! the host that checks it.

/// Where the first byte stands that JSON wants escaped in a string: a quote, a backslash or what is below U+0020. Eight
/// bytes at a time, with the zero byte test of Mycroft and Warren (Hacker's Delight, 6-1): in a sandbox every turn of a loop
/// pays for the look at the clock.
#[inline]
#[must_use]
pub fn first_to_escape(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    const fn each(byte: u8) -> u64 {
        ONES * byte as u64
    }
    let before = |left: &[u8]| bytes.len() - left.len();
    let mut left = bytes;
    while let Some((word, rest)) = left.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let (quotes, backslashes) = (word ^ each(b'"'), word ^ each(b'\\'));
        let below = word.wrapping_sub(each(b' ')) | quotes.wrapping_sub(ONES) | backslashes.wrapping_sub(ONES);
        // What is sought is ASCII. A mark above a true one may be false; the lowest never is.
        let marks = below & !word & HIGH;
        if marks != 0 {
            return Some(before(left) + (marks.trailing_zeros() / 8) as usize);
        }
        left = rest;
    }
    let at = left.iter().position(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\'));
    at.map(|at| before(left) + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_wherever_it_stands() {
        for before in 0..20 {
            for character in (0..=0x80).filter_map(char::from_u32).chain(['\u{ff}', '가']) {
                for after in ["", "ab\"\u{1}", "long enough for two words"] {
                    let text = format!("{}{character}{after}", "~".repeat(before));
                    let escaped = |character: char| character < ' ' || matches!(character, '"' | '\\');
                    assert_eq!(first_to_escape(text.as_bytes()), text.find(escaped), "{text:?}");
                }
            }
        }
    }
}
