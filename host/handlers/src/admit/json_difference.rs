//! Where two JSON values differ, each place with both sides, and no more around the difference than it takes to see it.
//! Knows nothing of what is compared.

use std::fmt;

use serde_json::Value as Json;

use crate::run::text::one_line;

/// The places of one pair that are shown.
const PLACES_MAX: usize = 8;

/// How two values are compared: what the sides are called, and how much of them is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) left: &'static str,
    pub(crate) right: &'static str,
    /// The characters around a difference of two texts.
    pub(crate) around_chars: usize,
    /// The characters of one side in all.
    pub(crate) side_chars_max: usize,
}

/// One place, and what each side has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where: keys with points between them. Empty: the whole.
    place: String,
    /// None: only the place is told.
    sides: Option<(String, String)>,
    names: (&'static str, &'static str),
}

impl Comparison {
    /// Every place at which the two differ, up to a bound.
    pub(crate) fn differences(self, left: &Json, right: &Json) -> Vec<Difference> {
        self.differences_at("", left, right)
    }

    /// The same inside of a larger value, where `place` is.
    pub(crate) fn differences_at(self, place: &str, left: &Json, right: &Json) -> Vec<Difference> {
        let mut differences = Vec::new();
        self.collect(place, Some(left), Some(right), &mut differences);
        let more = differences.len().saturating_sub(PLACES_MAX);
        differences.truncate(PLACES_MAX);
        if more > 0 {
            let place = format!("and {more} more places");
            differences.push(Difference { place, sides: None, names: (self.left, self.right) });
        }
        differences
    }

    /// One difference, in these words.
    pub(crate) fn difference(self, place: &str, left: String, right: String) -> Difference {
        Difference { place: place.to_owned(), sides: Some((left, right)), names: (self.left, self.right) }
    }

    /// Two texts, from a little before where they part to a little after where they meet again.
    pub(crate) fn texts(self, place: &str, left: &str, right: &str) -> Difference {
        let (one, other): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
        let start = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
        let rest = one.len().min(other.len()) - start;
        let end = one.iter().rev().zip(other.iter().rev()).take(rest).take_while(|(one, other)| one == other).count();
        let window = |text: &[char]| {
            let from = start.saturating_sub(self.around_chars);
            let to = (text.len() - end + self.around_chars).min(text.len());
            let shown: String = text.iter().skip(from).take((to - from).min(self.side_chars_max)).collect();
            let cut = to - from > self.side_chars_max || to < text.len();
            let (lead, tail) = (if from > 0 { "…" } else { "" }, if cut { "…" } else { "" });
            let length = if cut || from > 0 { format!(" ({} characters)", text.len()) } else { String::new() };
            format!("{lead}{shown:?}{tail}{length}")
        };
        self.difference(place, window(&one), window(&other))
    }

    /// A value, or the beginning of a long one.
    pub(crate) fn value(self, value: &Json) -> String {
        let text = value.to_string();
        let shown: String = text.chars().take(self.side_chars_max).collect();
        let shown = one_line(&shown);
        if text.chars().nth(self.side_chars_max).is_some() { format!("{shown}…") } else { shown }
    }

    fn collect(self, place: &str, left: Option<&Json>, right: Option<&Json>, differences: &mut Vec<Difference>) {
        match (left, right) {
            _ if left == right => {}
            (Some(Json::Object(one)), Some(Json::Object(other))) => {
                let added = other.keys().filter(|key| !one.contains_key(*key));
                for key in one.keys().chain(added) {
                    self.collect(&self.inside(place, key), one.get(key), other.get(key), differences);
                }
            }
            (Some(Json::Array(one)), Some(Json::Array(other))) if one.len() == other.len() => {
                for (index, (left, right)) in one.iter().zip(other).enumerate() {
                    self.collect(&format!("{place}[{index}]"), Some(left), Some(right), differences);
                }
            }
            (Some(Json::String(one)), Some(Json::String(other))) => differences.push(self.texts(place, one, other)),
            _ => {
                let side = |value: Option<&Json>| value.map_or_else(|| "nothing".to_owned(), |value| self.value(value));
                differences.push(self.difference(place, side(left), side(right)));
            }
        }
    }

    /// A key is the handler's to choose, so it is bounded as well.
    fn inside(self, place: &str, key: &str) -> String {
        let key: String = key.chars().take(self.side_chars_max).flat_map(char::escape_debug).collect();
        if place.is_empty() { key } else { format!("{place}.{key}") }
    }
}

/// A line for each side, one below the other.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((left, right)) = &self.sides else { return f.write_str(&self.place) };
        let place = if self.place.is_empty() { String::new() } else { format!("{}: ", self.place) };
        let (one, other) = self.names;
        let (indent, width) = (place.chars().count(), one.len().max(other.len()));
        write!(f, "{place}{one:width$} {left}\n{:indent$}{other:width$} {right}", "")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHORT: Comparison = Comparison { left: "before", right: "after", around_chars: 8, side_chars_max: 60 };

    fn shown(left: &Json, right: &Json) -> Vec<String> {
        SHORT.differences(left, right).iter().map(Difference::to_string).collect()
    }

    #[test]
    fn each_place_is_shown_by_itself() {
        let before = json!({"type": "m", "message": "hi", "sender": {"id": 1}, "old": null});
        let after = json!({"type": "m", "message": "HI", "sender": {"id": 2}, "style": "shout"});
        let expected = [
            "message: before \"hi\"\n         after  \"HI\"",
            "sender.id: before 1\n           after  2",
            "old: before null\n     after  nothing",
            "style: before nothing\n       after  \"shout\"",
        ];
        assert_eq!(shown(&before, &after), expected);
        assert_eq!(shown(&before, &before), [""; 0]);
        assert_eq!(shown(&json!("ignore"), &json!({"relay": "x"})), ["before \"ignore\"\nafter  {\"relay\":\"x\"}"]);
    }

    #[test]
    fn the_number_of_places_is_bounded() {
        let (left, right): (Vec<u8>, Vec<u8>) = ((0..20).collect(), (1..21).collect());
        let shown = shown(&json!(left), &json!(right));
        assert_eq!((shown.len(), shown.last().map(String::as_str)), (PLACES_MAX + 1, Some("and 12 more places")));
    }

    #[test]
    fn no_more_of_a_text_is_shown_than_it_takes() {
        let (before, after) = (format!("{}b{}", "가".repeat(900), "나".repeat(900)), "가".repeat(900));
        let long = shown(&json!({ "message": before }), &json!({ "message": after })).join("");
        assert!(long.contains('b') && long.chars().count() < 250, "{long}");
        let secret = SHORT.texts("", "an address and 1 secret", "an address and 2 secret").to_string();
        assert!(!secret.contains("an addr"), "{secret}");
    }

    #[test]
    fn texts_that_begin_or_end_alike_are_no_trouble() {
        for (before, after) in [("", "a"), ("a", ""), ("aa", "a"), ("a", "aa"), ("aba", "aa"), ("방", "방방")] {
            assert_eq!(SHORT.texts("", before, after).to_string(), format!("before {before:?}\nafter  {after:?}"));
        }
    }
}
