//! The places at which two JSON values part, each shown with no more around it than it takes to find it: what differs is
//! told to people who need not read the rest of a message. Knows nothing of handlers.

use std::fmt;

use serde_json::Value as Json;

/// How many places of one pair are told of.
const CHANGES_MAX: usize = 8;

/// How many characters around a difference are shown.
const AROUND_CHARS: usize = 8;

/// The longest part that is shown, in characters.
const PART_CHARS_MAX: usize = 60;

/// One place, and what stood there before and stands there now, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where: keys with points between them. Empty: the whole.
    pub place: String,
    /// What stood there. None: nothing.
    pub before: Option<String>,
    /// What stands there now. None: nothing.
    pub after: Option<String>,
}

impl Change {
    /// The whole is another.
    pub(super) fn whole(before: String, after: String) -> Self {
        Self { place: String::new(), before: Some(before), after: Some(after) }
    }

    /// Two texts, from a little before where they part to a little after where they meet again.
    pub(super) fn of_texts(place: &str, before: &str, after: &str) -> Self {
        let (old, new): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
        let start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let rest = old.len().min(new.len()) - start;
        let end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
        let part = |text: &[char]| {
            let from = start.saturating_sub(AROUND_CHARS);
            let to = (text.len() - end + AROUND_CHARS).min(text.len());
            let shown: String = text.iter().skip(from).take((to - from).min(PART_CHARS_MAX)).collect();
            let cut = to - from > PART_CHARS_MAX || to < text.len();
            let (lead, tail) = (if from > 0 { "…" } else { "" }, if cut { "…" } else { "" });
            let length = if cut || from > 0 { format!(" ({} characters)", text.len()) } else { String::new() };
            format!("{lead}{shown:?}{tail}{length}")
        };
        Self { place: place.to_owned(), before: Some(part(&old)), after: Some(part(&new)) }
    }
}

/// Two lines, or one for what is new or gone.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                let indent = if self.place.is_empty() { 0 } else { self.place.chars().count() + 2 };
                write!(f, "before {before}\n{:indent$}after  {after}", "")
            }
            (None, Some(after)) => write!(f, "new {after}"),
            (Some(before), None) => write!(f, "gone, was {before}"),
            (None, None) => Ok(()),
        }
    }
}

/// Every place at which the two part, up to a bound that is told.
pub(super) fn between(before: &Json, after: &Json) -> Vec<Change> {
    let mut changes = Vec::new();
    collect(before, after, "", &mut changes);
    let more = changes.len().saturating_sub(CHANGES_MAX);
    changes.truncate(CHANGES_MAX);
    if more > 0 {
        changes.push(Change { place: format!("and {more} more places"), before: None, after: None });
    }
    changes
}

fn collect(before: &Json, after: &Json, place: &str, changes: &mut Vec<Change>) {
    match (before, after) {
        _ if before == after => {}
        (Json::Object(old), Json::Object(new)) => {
            for (key, before) in old {
                let place = inside(place, key);
                match new.get(key) {
                    Some(after) => collect(before, after, &place, changes),
                    None => changes.push(Change { place, before: Some(shown(before)), after: None }),
                }
            }
            for (key, after) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                changes.push(Change { place: inside(place, key), before: None, after: Some(shown(after)) });
            }
        }
        (Json::Array(old), Json::Array(new)) if old.len() == new.len() => {
            for (index, (before, after)) in old.iter().zip(new).enumerate() {
                collect(before, after, &format!("{place}[{index}]"), changes);
            }
        }
        (Json::String(old), Json::String(new)) => changes.push(Change::of_texts(place, old, new)),
        _ => {
            let (before, after) = (Some(shown(before)), Some(shown(after)));
            changes.push(Change { place: place.to_owned(), before, after });
        }
    }
}

/// A key is the handler's to choose, so it is bounded like all else.
fn inside(place: &str, key: &str) -> String {
    let key: String = key.chars().take(PART_CHARS_MAX).flat_map(char::escape_debug).collect();
    if place.is_empty() { key } else { format!("{place}.{key}") }
}

fn shown(value: &Json) -> String {
    let text = value.to_string();
    let part: String = text.chars().take(PART_CHARS_MAX).collect();
    let part = super::one_line(&part);
    if text.chars().nth(PART_CHARS_MAX).is_some() { format!("{part}…") } else { part }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(before: &Json, after: &Json) -> Vec<String> {
        between(before, after).iter().map(Change::to_string).collect()
    }

    #[test]
    fn each_place_is_told_by_itself() {
        let before = json!({"type": "m", "message": "hi", "sender": {"id": 1}, "old": null});
        let after = json!({"type": "m", "message": "HI", "sender": {"id": 2}, "style": "shout"});
        let wanted = [
            "message: before \"hi\"\n         after  \"HI\"",
            "sender.id: before 1\n           after  2",
            "old: gone, was null",
            "style: new \"shout\"",
        ];
        assert_eq!(told(&before, &after), wanted);
        assert_eq!(told(&before, &before), [""; 0]);
    }

    #[test]
    fn no_more_of_a_text_is_shown_than_it_takes() {
        let (before, after) = (format!("{}b{}", "가".repeat(900), "나".repeat(900)), "가".repeat(900));
        let told = told(&json!({ "message": before }), &json!({ "message": after })).join("");
        assert!(told.contains('b') && told.chars().count() < 250, "{told}");
        let secret = told_texts("an address and 1 secret", "an address and 2 secret");
        assert!(!secret.contains("an addr"), "{secret}");
    }

    fn told_texts(before: &str, after: &str) -> String {
        Change::of_texts("", before, after).to_string()
    }

    #[test]
    fn texts_that_begin_or_end_alike_are_no_trouble() {
        for (before, after) in [("", "a"), ("a", ""), ("aa", "a"), ("a", "aa"), ("aba", "aa"), ("방", "방방")] {
            assert_eq!(told_texts(before, after), format!("before {before:?}\nafter  {after:?}"));
        }
    }
}
