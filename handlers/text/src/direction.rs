//! Directions that a text opens and does not close (Unicode Standard Annex 9, section 2).

use std::borrow::Cow;

/// Ends an embedding or override, U+202C, and an isolate, U+2069.
const POP_DIRECTIONAL_FORMATTING: char = '\u{202c}';
const POP_DIRECTIONAL_ISOLATE: char = '\u{2069}';

/// `text` with what closes its open embeddings, overrides and isolates at its end.
pub(crate) fn closed(text: &str) -> Cow<'_, str> {
    let open = open(text);
    if open.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().chain(open.into_iter().rev()).collect())
}

/// What would close each direction that is open at the end of `text`, the outermost first.
fn open(text: &str) -> Vec<char> {
    let mut open = Vec::new();
    // The controls are of three bytes, and a text without any is the usual one.
    if text.is_ascii() {
        return open;
    }
    for c in text.chars() {
        match c {
            '\u{202a}' | '\u{202b}' | '\u{202d}' | '\u{202e}' => open.push(POP_DIRECTIONAL_FORMATTING),
            '\u{2066}'..='\u{2068}' => open.push(POP_DIRECTIONAL_ISOLATE),
            // An embedding is not ended from within an isolate that it contains.
            POP_DIRECTIONAL_FORMATTING if open.last() == Some(&c) => {
                open.pop();
            }
            // The end of an isolate is also the end of every embedding in it.
            POP_DIRECTIONAL_ISOLATE => {
                if let Some(isolate) = open.iter().rposition(|closer| *closer == c) {
                    open.truncate(isolate);
                }
            }
            _ => {}
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_open_is_closed_in_reverse_order() {
        for (text, closers) in [
            ("민지", ""),
            ("a\u{202e}b", "\u{202c}"),
            ("a\u{2066}b", "\u{2069}"),
            ("\u{202a}a\u{2067}b\u{202d}c", "\u{202c}\u{2069}\u{202c}"),
            ("a\u{202e}b\u{202c}c", ""),
            ("\u{2068}a\u{202b}b\u{2069}c", ""),
            ("\u{202b}a\u{2068}b\u{202c}c", "\u{2069}\u{202c}"),
            // A closer that closes nothing is ignored.
            ("\u{202c}a\u{2069}", ""),
            ("\u{2069}a\u{202e}\u{2069}", "\u{202c}"),
        ] {
            assert_eq!(closed(text), format!("{text}{closers}"));
        }
    }

    /// Every text of up to five of the controls and a letter.
    #[test]
    fn a_closed_text_is_left_as_it_is() {
        const ALPHABET: [char; 6] = ['a', '\u{202a}', '\u{202e}', '\u{202c}', '\u{2067}', '\u{2069}'];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            let longer = texts.iter().flat_map(|text| ALPHABET.map(|c| format!("{text}{c}")));
            texts = longer.chain([String::new()]).collect();
            for text in &texts {
                let closed = closed(text);
                assert!(closed.starts_with(text.as_str()) && open(&closed).is_empty(), "{text:?}");
                assert_eq!(closed.chars().count() - text.chars().count(), open(text).len(), "{text:?}");
            }
        }
    }
}
