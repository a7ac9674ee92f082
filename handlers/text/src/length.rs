//! Lengths and comparisons in the Normalization Form C (Unicode Standard Annex 15).

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();

/// `text` in the Normalization Form C.
#[must_use]
pub fn nfc(text: &str) -> Cow<'_, str> {
    NFC.normalize(text)
}

/// Whether `text` has more than `chars_max` characters (Unicode scalar values) in the Normalization Form C.
#[must_use]
pub fn is_longer(text: &str, chars_max: usize) -> bool {
    // No character becomes more characters than it has bytes.
    if text.len() <= chars_max {
        return false;
    }
    let chars = text.chars();
    if NFC.is_normalized(text) { chars.count() > chars_max } else { NFC.normalize_iter(chars).nth(chars_max).is_some() }
}

#[cfg(test)]
mod tests {
    use icu_normalizer::DecomposingNormalizerBorrowed;

    use super::*;

    #[test]
    fn no_character_becomes_more_characters_than_it_has_bytes() {
        for c in char::MIN..=char::MAX {
            assert!(NFC.normalize_iter([c].into_iter()).count() <= c.len_utf8(), "{c:?}");
        }
    }

    #[test]
    fn composed_and_decomposed_text_is_one_and_as_long() {
        for text in ["민지", "강남 스타일", "Việt Nam", "é", "ガ", "Å", "ᄀ", "plain", ""] {
            let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(text);
            assert_eq!(nfc(&decomposed), text);
            let length = text.chars().count();
            for form in [text, &decomposed] {
                assert!(!is_longer(form, length), "{form:?}");
                assert!(length == 0 || is_longer(form, length - 1), "{form:?}");
            }
        }
        // A composition that NFC excludes counts as its parts (Devanagari qa).
        assert_eq!(nfc("\u{958}"), "\u{915}\u{93c}");
        assert!(is_longer("\u{958}", 1) && !is_longer("\u{958}", 2));
    }
}
