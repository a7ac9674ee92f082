//! Texts: what is invisible, what turns directions around, what composes, what steers a terminal or a parser.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::corpus;

/// A text, usually short, and odd more often than not.
pub fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => select(corpus::texts()),
        2 => any::<char>().prop_map(String::from),
        2 => select(vec!["가", "\u{1100}\u{1161}", " ", "a", "%", "+", "\\", "\"", "\u{3164}", "\u{202e}", "\u{301}"]).prop_map(str::to_owned),
    ];
    let joined = prop::collection::vec(piece.clone(), 0..6).prop_map(|pieces| pieces.concat());
    let repeated = (piece, select(vec![2_usize, 63, 64, 65, 128, 254, 255, 1_999, 2_000, 2_001, 2_048, 2_049]))
        .prop_map(|(piece, times)| piece.repeat(times.min(20_000 / piece.len().max(1))));
    prop_oneof![6 => joined, 1 => repeated, 2 => any::<String>()]
}

/// A text with up to three characters that are changed, left out or added.
pub fn misspelt(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let place = (any::<Index>(), 0..3_u8, prop_oneof![any::<char>(), prop::char::range(' ', '~')]);
    (text, prop::collection::vec(place, 0..4)).prop_map(|(text, places)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (index, change, c) in places {
            let at = index.index(chars.len() + 1);
            match change {
                0 => chars.insert(at, c),
                _ if at == chars.len() => {}
                1 => drop(chars.remove(at)),
                _ => drop(chars.splice(at..=at, [c])),
            }
        }
        chars.into_iter().collect()
    })
}
