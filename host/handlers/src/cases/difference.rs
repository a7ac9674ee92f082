//! Two JSON values side by side, told so that a person sees at once where they part. Knows nothing of cases.

use serde_json::Value as Json;

/// The longest value that is shown whole, in characters.
const SHOWN_CHARS_MAX: usize = 160;

/// How many characters before the first difference of two texts are shown.
const LEAD_CHARS: usize = 24;

/// Every place at which `got` is not `expected`, two lines each.
pub(super) fn between(expected: &Json, got: &Json, place: &str) -> Vec<String> {
    match (expected, got) {
        _ if expected == got => Vec::new(),
        (Json::Object(wanted), Json::Object(found)) if wanted.keys().eq(found.keys()) => {
            wanted.iter().zip(found.values()).flat_map(|((key, e), g)| between(e, g, &inside(place, key))).collect()
        }
        (Json::Array(wanted), Json::Array(found)) if wanted.len() == found.len() => wanted
            .iter()
            .zip(found)
            .enumerate()
            .flat_map(|(index, (e, g))| between(e, g, &format!("{place}[{index}]")))
            .collect(),
        (Json::String(wanted), Json::String(found)) => texts(wanted, found, place),
        _ => lines(place, "", &shown(&expected.to_string()), &shown(&got.to_string())),
    }
}

/// Every field that `expected` has and `got` has not, or has otherwise. What `expected` leaves out may be anything.
pub(super) fn of_given_fields(expected: &Json, got: &Json) -> Vec<String> {
    let (Json::Object(wanted), Json::Object(found)) = (expected, got) else { return between(expected, got, "") };
    let mut differences = Vec::new();
    for (key, expected) in wanted {
        match found.get(key).or_else(|| found.get(&key.replace('_', "-"))) {
            Some(got) => differences.extend(between(expected, got, key)),
            None => differences.push(format!("a refusal has no field {key:?}")),
        }
    }
    if !differences.is_empty() {
        differences.push(format!("the refusal: {}", shown(&got.to_string())));
    }
    differences
}

/// Long texts are shown from a little before the place where they part.
fn texts(expected: &str, got: &str, place: &str) -> Vec<String> {
    let same = expected.chars().zip(got.chars()).take_while(|(e, g)| e == g).count();
    let short = |text: &str| text.chars().count() <= SHOWN_CHARS_MAX;
    if short(expected) && short(got) {
        return lines(place, "", &format!("{expected:?}"), &format!("{got:?}"));
    }
    let from = same.saturating_sub(LEAD_CHARS);
    let window = |text: &str| {
        let part: String = text.chars().skip(from).take(LEAD_CHARS * 3).collect();
        let (before, after) =
            (if from > 0 { "…" } else { "" }, if text.chars().count() > from + LEAD_CHARS * 3 { "…" } else { "" });
        format!("{before}{part:?}{after} ({} characters)", text.chars().count())
    };
    lines(place, &format!(" from character {}", same + 1), &window(expected), &window(got))
}

fn lines(place: &str, more: &str, expected: &str, got: &str) -> Vec<String> {
    let place = if place.is_empty() && more.is_empty() { String::new() } else { format!("{place}{more}: ") };
    vec![format!("{place}expected {expected}"), format!("{place}got      {got}")]
}

fn inside(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") }
}

/// A text, or the beginning of a long one with its length.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}… ({} characters)", text.get(..end).unwrap_or_default(), text.chars().count()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_its_place() {
        let told = between(
            &json!({"post": {"text": "안녕", "parent": 1}}),
            &json!({"post": {"text": "안냥", "parent": 1}}),
            "",
        );
        assert_eq!(told, ["post.text: expected \"안녕\"", "post.text: got      \"안냥\""]);
        assert_eq!(
            between(&json!("ignore"), &json!({"relay": "x"}), ""),
            ["expected \"ignore\"", "got      {\"relay\":\"x\"}"]
        );
        assert!(between(&json!([1, 2]), &json!([1, 2]), "").is_empty());
    }

    #[test]
    fn a_refusal_is_held_against_the_given_fields_alone() {
        let got = json!({"code": "too_long", "message": "…", "field": "message"});
        assert!(of_given_fields(&json!({"code": "too_long"}), &got).is_empty());
        let told = of_given_fields(&json!({"code": "blank", "colour": "red"}), &got);
        assert_eq!(told.len(), 4, "{told:?}");
    }

    #[test]
    fn long_texts_are_shown_where_they_part() {
        let (expected, got) = ("가".repeat(2_000), format!("{}나", "가".repeat(1_999)));
        let told = between(&json!(expected), &json!(got), "post.text").join("\n");
        assert!(told.contains("from character 2000") && told.contains("나") && told.len() < 600, "{told}");
    }
}
