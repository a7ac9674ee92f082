//! Text as people write it: what of it is visible, how long it is, which text directions it leaves open. Shared by the host
//! and the default handlers; knows nothing of rooms, users or components.
//!
//! Texts are stored as sent, and names trimmed. Only comparisons and limits look at the Normalization Form C: Korean that
//! macOS and iOS decompose ("ㅁㅣㄴ" for "민") is the same text, and as long.

mod direction;
mod length;
mod visible;

use std::borrow::Cow;

pub use length::{is_longer, nfc};
pub use visible::{is_blank, trim};

/// A name as it is kept: without white space and invisible characters around it, and with every direction closed that it
/// opens, so that it cannot turn around the text behind it. Empty if nothing of it is visible.
#[must_use]
pub fn name(given: &str) -> Cow<'_, str> {
    direction::closed(trim(given))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_trimmed_and_closed() {
        assert_eq!(name(" 민지\u{3164}"), "민지");
        assert_eq!(name("\u{202e}민지\u{200b}"), "\u{202e}민지\u{202c}");
        assert_eq!(name("\u{202e}\u{3164}"), "");
        // What it closed itself, and what closes or opens nothing.
        assert_eq!(name("\u{2067}민지\u{2069}"), "\u{2067}민지\u{2069}");
        assert_eq!(name("\u{202c}민지\u{2069}\u{202e}"), "민지");
        for given in
            ["민지", "\u{202e}a\u{2067}b", "\u{feff}\u{202a}x\u{202c}\u{202c} ", "a\u{fe0f}", "❤\u{fe0f}\u{202e}"]
        {
            assert_eq!(name(&name(given)), name(given), "{given:?}");
        }
    }
}
