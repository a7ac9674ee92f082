//! What gateways do to texts on the way, by its likely cause. Knows texts, and nothing of callers.
//!
//! A value that cannot be what was meant is refused. One that could be is accepted as it is, and the operator hears of it.

use std::sync::atomic::{AtomicBool, Ordering};

use percent_encoding::percent_decode_str;

use super::values::encoded;

/// A value that was probably mangled on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{place} {how}")]
pub(in crate::http) struct Mangled {
    /// The header, or the key in the query.
    place: &'static str,
    how: How,
}

/// What became of a value, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum How {
    #[error("is not valid UTF-8: it is probably in Latin-1 or another encoding; percent-encoded UTF-8 always arrives")]
    NotUtf8,
    #[error("is an encoded word of e-mail (RFC 2047): it must be UTF-8, which may be percent-encoded")]
    EncodedWord,
    #[error("contains control characters from U+0080 to U+009F: it is probably UTF-8 that was read as Latin-1")]
    Controls,
    #[error("looks like UTF-8 that was read as Latin-1")]
    ReadAsLatin1,
    #[error("looks percent-encoded twice")]
    EncodedTwice,
    #[error("looks as if question marks replaced its characters: it was probably written in an encoding without them")]
    Replaced,
}

impl Mangled {
    pub(super) fn new(place: &'static str, how: How) -> Self {
        Self { place, how }
    }

    /// What happened to a value, as far as it shows. An address may have escapes in its path, and question marks.
    pub(super) fn find(place: &'static str, value: &str, is_url: bool) -> Option<Self> {
        let how = if is_encoded_word(value) {
            How::EncodedWord
        } else if value.contains(|c| matches!(c, '\u{80}'..='\u{9f}')) {
            How::Controls
        } else if is_read_as_latin_1(value) {
            How::ReadAsLatin1
        } else if is_still_encoded(value) && !(is_url && value.contains('/')) {
            How::EncodedTwice
        } else if value.contains('\u{fffd}') || value.is_ascii() && value.contains("??") && !is_url {
            How::Replaced
        } else {
            return None;
        };
        Some(Self::new(place, how))
    }

    /// Whether the value cannot be what was meant.
    pub(super) fn is_refused(self) -> bool {
        match self.how {
            How::NotUtf8 | How::EncodedWord | How::Controls => true,
            How::ReadAsLatin1 | How::EncodedTwice | How::Replaced => false,
        }
    }
}

/// Whether a text contains `=?CHARSET?B?TEXT?=`, or the same with Q.
fn is_encoded_word(text: &str) -> bool {
    text.match_indices("=?").filter_map(|(start, mark)| text.get(start + mark.len()..)).any(|word| {
        let parts: Vec<&str> = word.splitn(4, '?').collect();
        matches!(parts[..], [charset, "B" | "b" | "Q" | "q", _, end] if !charset.is_empty() && end.starts_with('='))
    })
}

/// Whether a decoded text is one that an encoder would have written.
fn is_still_encoded(text: &str) -> bool {
    text.contains('%') && encoded(text) && percent_decode_str(text).decode_utf8().is_ok()
}

/// Whether a text is what a reader of Latin-1, or of Windows-1252 as browsers have it, makes of UTF-8.
fn is_read_as_latin_1(text: &str) -> bool {
    /// What Windows-1252 has from 0x80 on; five of its bytes are controls.
    const WINDOWS: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
    let byte = |c: char| {
        let windows = || WINDOWS.chars().zip(0x80..).find(|(other, _)| *other == c).map(|(_, byte)| byte);
        u8::try_from(c).ok().or_else(windows)
    };
    let read: Option<Vec<u8>> = if text.is_ascii() { None } else { text.chars().map(byte).collect() };
    read.is_some_and(|bytes| std::str::from_utf8(&bytes).is_ok())
}

/// Which kinds the operator has heard of.
#[derive(Default)]
pub(super) struct Reports {
    not_utf8: AtomicBool,
    encoded_word: AtomicBool,
    read_as_latin_1: AtomicBool,
    encoded_twice: AtomicBool,
    replaced: AtomicBool,
}

impl Reports {
    /// The first value of a kind tells the operator what to look for.
    pub(super) fn tell(&self, mangled: Mangled) {
        let reported = match mangled.how {
            How::NotUtf8 => &self.not_utf8,
            How::EncodedWord => &self.encoded_word,
            How::Controls | How::ReadAsLatin1 => &self.read_as_latin_1,
            How::EncodedTwice => &self.encoded_twice,
            How::Replaced => &self.replaced,
        };
        if reported.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            place = mangled.place,
            refused = mangled.is_refused(),
            "an identity arrived mangled: {mangled}; check how the gateway writes it (logged once for each kind)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(value: &str) -> Option<How> {
        Mangled::find("X-Nickname", value, false).map(|mangled| mangled.how)
    }

    /// `text` as a reader of Latin-1 sees it.
    fn latin_1(text: &str) -> String {
        text.bytes().map(char::from).collect()
    }

    #[test]
    fn encoded_words_of_mail_are_known() {
        for word in
            ["=?UTF-8?B?66+87KeA?=", "=?utf-8?q?=EB=AF=BC?=", "=?ISO-8859-1?Q?Andr=E9?=", "a =?EUC-KR?B?uc7B9g==?= b"]
        {
            assert_eq!(found(word), Some(How::EncodedWord), "{word}");
        }
        for other in ["=?", "a=?b?=", "=?UTF-8?X?a?=", "x=?why"] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn utf8_read_as_latin_1_is_known() {
        assert_eq!(found(&latin_1("민지")), Some(How::Controls));
        for read in [&latin_1("ñandú"), "ë¯¼ì§€", "ê°•ë‚¨", "CafÃ©", "Ä‘"] {
            assert_eq!(found(read), Some(How::ReadAsLatin1), "{read}");
        }
        for honest in ["민지", "Café", "ÉÈ", "naïve", "€uro", "plain", "Søren Ærø", "Müller–Ü", "ß"] {
            assert_eq!(found(honest), None, "{honest}");
        }
    }

    #[test]
    fn double_encoding_and_question_marks_are_known() {
        for twice in ["%EB%AF%BC%EC%A7%80", "minji%2Bchat@example.com", "a%20b"] {
            assert_eq!(found(twice), Some(How::EncodedTwice), "{twice}");
        }
        for marks in ["??", "??? Kim", "a\u{fffd}b"] {
            assert_eq!(found(marks), Some(How::Replaced), "{marks}");
        }
        for honest in ["100%", "50%off", "%61dmin", "%ff", "why?", "뭐??"] {
            assert_eq!(found(honest), None, "{honest}");
        }
        for address in ["/a%20b.png", "https://example.com/?a=1??"] {
            assert_eq!(Mangled::find("X-Profile-URL", address, true), None, "{address}");
        }
        let twice = Mangled::find("X-Profile-URL", "https%3A%2F%2Fexample.com%2Fa.png", true);
        assert_eq!(twice.map(|mangled| mangled.how), Some(How::EncodedTwice));
    }
}
