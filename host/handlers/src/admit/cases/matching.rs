//! Compares an outcome with what a case expects. A payload is compared as JSON, `"${anything}"` stands for any value,
//! and a partial expectation leaves out what it does not mention. Knows nothing of tables or types.

use serde_json::Value as Json;

use crate::admit::json_difference::{Comparison, Difference};

/// How an outcome is compared with what is expected.
pub(super) const COMPARISON: Comparison =
    Comparison { left: "expected", right: "got", around_chars: 24, side_chars_max: 160 };

/// Stands for any value that is there.
pub(super) const ANYTHING: &str = "${anything}";

/// How much of an answer an expectation tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it; an option that is left out is none.
    Whole,
    /// Only what it mentions counts.
    Partial,
}

/// Where an answer of `function` has a payload, which is a text that holds JSON.
fn payload(function: &str) -> Option<&'static str> {
    match function {
        "messages.receive" => Some("/relay"),
        "events.message" | "events.join" | "events.leave" | "events.refusal" => Some(""),
        _ => None,
    }
}

/// An answer with its payload as the JSON that it holds.
pub(super) fn opened(function: &str, mut answer: Json) -> Json {
    if let Some(Json::String(text)) = payload(function).and_then(|place| answer.pointer(place))
        && let Ok(held) = serde_json::from_str::<Json>(text)
        && !held.is_null()
        && let Some(place) = payload(function).and_then(|place| answer.pointer_mut(place))
    {
        *place = held;
    }
    answer
}

/// An answer with its payload as a text.
pub(super) fn closed(function: &str, mut answer: Json) -> Json {
    if let Some(place) = payload(function).and_then(|place| answer.pointer_mut(place))
        && !place.is_string()
        && !place.is_null()
    {
        *place = place.to_string().into();
    }
    answer
}

/// Whether an opened answer has a null in its payload, which TOML cannot write and which is not the same as nothing.
pub(super) fn has_null_in_payload(function: &str, answer: &Json) -> bool {
    payload(function).and_then(|place| answer.pointer(place)).is_some_and(has_null)
}

fn has_null(json: &Json) -> bool {
    match json {
        Json::Null => true,
        Json::Array(items) => items.iter().any(has_null),
        Json::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

/// Whether an expectation leaves anything open.
pub(super) fn has_anything(expected: &Json) -> bool {
    match expected {
        Json::String(text) => text == ANYTHING,
        Json::Array(items) => items.iter().any(has_anything),
        Json::Object(fields) => fields.values().any(has_anything),
        _ => false,
    }
}

/// Where what came differs from what is expected.
pub(super) fn differences(expected: &Json, got: &Json, extent: Extent) -> Vec<Difference> {
    COMPARISON.differences(expected, &seen(expected, got, extent))
}

/// What came, as the expectation sees it: equal to the expectation where that is met.
pub(super) fn seen(expected: &Json, got: &Json, extent: Extent) -> Json {
    match (expected, got) {
        (Json::String(text), _) if text == ANYTHING => expected.clone(),
        // A text may hold JSON: a payload, or a message's `extra`.
        (Json::Object(_) | Json::Array(_), Json::String(text)) => match serde_json::from_str::<Json>(text) {
            Ok(held) if !held.is_string() => seen(expected, &held, extent),
            _ => got.clone(),
        },
        (Json::Object(wanted), Json::Object(found)) => {
            let as_found = |key: &str| if found.contains_key(key) { key.to_owned() } else { key.replace('_', "-") };
            let mentioned: Vec<String> = wanted.keys().map(|key| as_found(key)).collect();
            let met = wanted
                .iter()
                .filter_map(|(key, expected)| Some((key.clone(), seen(expected, found.get(&as_found(key))?, extent))));
            let rest = found.iter().filter(|(key, value)| {
                extent == Extent::Whole && !value.is_null() && !mentioned.iter().any(|known| known == *key)
            });
            Json::Object(met.chain(rest.map(|(key, value)| (key.clone(), value.clone()))).collect())
        }
        (Json::Array(wanted), Json::Array(found)) if wanted.len() == found.len() => {
            wanted.iter().zip(found).map(|(expected, got)| seen(expected, got, extent)).collect()
        }
        _ => got.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meets(expected: &Json, got: &Json, extent: Extent) -> bool {
        differences(expected, got, extent).is_empty()
    }

    #[test]
    fn a_part_counts_only_what_it_mentions() {
        let got = json!({"post": {"text": "hi", "client-id": null, "extra": "{\"me\":true}"}});
        for (expected, part, whole) in [
            (json!({"post": {"text": "hi"}}), true, false),
            (json!({"post": {"text": "hi", "extra": {"me": true}}}), true, true),
            (json!({"post": {"text": "${anything}", "extra": "${anything}"}}), true, true),
            (json!({"post": {"text": "hi", "client_id": null, "extra": "${anything}"}}), true, true),
            (json!({"post": {"text": "ho"}}), false, false),
            (json!({"post": {"colour": "${anything}"}}), false, false),
            (json!({"relay": "${anything}"}), false, false),
            (json!("${anything}"), true, true),
        ] {
            assert_eq!(meets(&expected, &got, Extent::Partial), part, "{expected}");
            assert_eq!(meets(&expected, &got, Extent::Whole), whole, "{expected}");
        }
    }

    #[test]
    fn a_payload_is_opened_and_closed_where_the_contract_has_one() {
        let relay = json!({"relay": "{\"a\":1}"});
        assert_eq!(opened("messages.receive", relay.clone()), json!({"relay": {"a": 1}}));
        assert_eq!(closed("messages.receive", json!({"relay": {"a": 1}})), relay);
        assert_eq!(opened("events.join", json!("[1, 2]")), json!([1, 2]));
        for kept in [json!(null), json!("null"), json!("no JSON")] {
            assert_eq!(opened("events.join", kept.clone()), kept);
        }
        let post = json!({"post": {"text": "{\"a\":1}"}});
        assert_eq!(opened("messages.receive", post.clone()), post, "a text is no payload");
    }
}
