//! What of a text is visible, and what merely surrounds it.

use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;

/// Whether nothing of `text` is visible: it is empty, or all white space and invisible characters.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(is_invisible)
}

/// `text` without white space and invisible characters around it. What completes the last visible character stays, and so
/// do controls at the beginning that give the rest a direction.
#[must_use]
pub fn trim(text: &str) -> &str {
    if is_blank(text) {
        return "";
    }
    let text = text.trim_start_matches(|c| is_invisible(c) && !opens_direction(c));
    let visible = text.trim_end_matches(is_invisible);
    let (last, rest) = (visible.chars().next_back(), &text[visible.len()..]);
    let kept = visible.len() + last.map_or(0, |last| completion(last, rest));
    &text[..kept]
}

fn is_invisible(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_whitespace() || c == '\u{b}'
    } else {
        c.is_whitespace() || is_ignorable(c) || is_empty_glyph(c)
    }
}

/// The property `Default_Ignorable_Code_Point` of Unicode. The Hangul fillers have it.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Characters that are drawn, with nothing on them: a Braille pattern without dots, a note without a head, two blanks of
/// the hieroglyphs.
fn is_empty_glyph(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{1d159}' | '\u{13441}'..='\u{13442}')
}

/// Opens an embedding, an override or an isolate.
fn opens_direction(c: char) -> bool {
    matches!(c, '\u{202a}' | '\u{202b}' | '\u{202d}' | '\u{202e}' | '\u{2066}'..='\u{2068}')
}

/// How many bytes at the beginning of `rest`, which is invisible, belong to the character before it.
fn completion(last: char, rest: &str) -> usize {
    let mut following = rest.chars();
    let Some(next) = following.next() else { return 0 };
    match next {
        selector if selects(last, selector) => selector.len_utf8(),
        // A joiner after a virama shapes the consonant before it, as at the end of Malayalam names.
        '\u{200c}' | '\u{200d}' if CanonicalCombiningClassMapBorrowed::new().get_u8(last) == VIRAMA => next.len_utf8(),
        // The flags of England, Scotland and Wales are a black flag and tags.
        '\u{e0020}'..='\u{e007e}' if last == '🏴' => {
            let tags = rest.find(|c| !matches!(c, '\u{e0020}'..='\u{e007f}')).unwrap_or(rest.len());
            if rest[..tags].ends_with('\u{e007f}') { tags } else { 0 }
        }
        _ => 0,
    }
}

/// The canonical combining class of viramas.
const VIRAMA: u8 = 9;

/// Whether `selector` is a variation selector that can mean something after `base`: an emoji or another symbol, an
/// ideograph (names in Japanese have them), a Mongolian letter.
fn selects(base: char, selector: char) -> bool {
    let is_ideograph = matches!(base, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}');
    // Some emoji are letters: ℹ, Ⓜ, 🅰, 🅱, 🅾, 🅿.
    let is_symbol = !base.is_alphabetic() || matches!(base, 'ℹ' | 'Ⓜ' | '🅰'..='🆉');
    match selector {
        '\u{fe00}'..='\u{fe0f}' => is_symbol || is_ideograph,
        '\u{e0100}'..='\u{e01ef}' => is_ideograph,
        '\u{180b}'..='\u{180d}' | '\u{180f}' => matches!(base, '\u{1800}'..='\u{18af}'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use icu_properties::CodePointSetData;
    use icu_properties::props::{DefaultIgnorableCodePoint, Emoji};

    use super::*;

    #[test]
    fn the_table_is_that_of_unicode() {
        let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
        for c in char::MIN..=char::MAX {
            assert_eq!(is_ignorable(c), ignorable.contains(c), "{c:?}");
            assert_eq!(is_invisible(c), c.is_whitespace() || is_ignorable(c) || is_empty_glyph(c), "{c:?}");
        }
    }

    #[test]
    fn text_of_nothing_visible_is_blank() {
        for blank in [
            "",
            " \n\t",
            "\u{3000}",
            "\u{3164}",
            "\u{115f}\u{1160}",
            "\u{ffa0}",
            "\u{2800}",
            "\u{200b}\u{feff}",
            "\u{2060}",
            "\u{ad}",
            "\u{200d}\u{fe0f}",
            "\u{202e}\u{2069}",
            "\u{e0041}\u{e007f}",
            " \u{3164} \u{200b} ",
        ] {
            assert!(is_blank(blank), "{blank:?}");
            assert_eq!(trim(blank), "", "{blank:?}");
        }
        for visible in ["a", "\u{3164}.", "ㅤ민지", "❤\u{fe0f}", "\u{301}", "\0", "\u{fffd}"] {
            assert!(!is_blank(visible), "{visible:?}");
        }
    }

    #[test]
    fn names_are_trimmed_of_what_is_invisible() {
        for around in [
            " ",
            "\u{3000}",
            "\u{3164}",
            "\u{115f}",
            "\u{ffa0}",
            "\u{2800}",
            "\u{200b}",
            "\u{feff}",
            "\u{2060}",
            "\u{200d}",
            "\u{ad}\u{34f}",
        ] {
            assert_eq!(trim(&format!("{around}민{around}지{around}{around}")), format!("민{around}지"));
        }
        assert_eq!(trim("민지\u{fe0f}"), "민지");
        assert_eq!(trim("a\u{e0041}\u{e007f}"), "a");
        assert_eq!(trim("👩\u{200d}"), "👩");
    }

    #[test]
    fn what_belongs_to_a_character_stays() {
        for whole in [
            "❤\u{fe0f}",
            "민지 ☎\u{fe0e}",
            "1\u{fe0f}\u{20e3}",
            "👩\u{200d}👩\u{200d}👧",
            "👩\u{200d}❤\u{fe0f}\u{200d}👩",
            "🇰🇷",
            "👍🏽",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "葛\u{e0100}",
            "ന്\u{200d}",
            "می\u{200c}خواهم",
            "\u{202e}abc",
            "𝄞",
        ] {
            assert_eq!(trim(whole), whole);
            assert_eq!(trim(&format!("\u{3164}{whole}\u{200b} ")), whole, "{whole:?}");
        }
        let flag = "🏴\u{e0067}\u{e0062}";
        assert_eq!((trim(flag), trim("❤\u{fe0f}\u{fe0f}")), ("🏴", "❤\u{fe0f}"));
    }

    #[test]
    fn every_emoji_keeps_its_variation_selector() {
        let emoji = CodePointSetData::new::<Emoji>();
        for c in (char::MIN..=char::MAX).filter(|c| emoji.contains(*c) && !is_invisible(*c)) {
            assert!(selects(c, '\u{fe0f}'), "{c:?}");
        }
    }
}
