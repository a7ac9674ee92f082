//! Reads single fields of the admin API's JSON. A missing field reads as empty: what a newer or older server leaves
//! out must not keep the rest from being shown.

use serde_json::Value;

/// How many digits of a version's id are shown.
const DIGITS: usize = 12;

pub(super) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn number(row: &Value, key: &str) -> u64 {
    row.get(key).and_then(Value::as_u64).unwrap_or(0)
}

pub(super) fn is_true(row: &Value, key: &str) -> bool {
    row.get(key).and_then(Value::as_bool) == Some(true)
}

pub(super) fn object<'a>(row: &'a Value, key: &str) -> Option<&'a Value> {
    row.get(key).filter(|value| value.is_object())
}

/// The pairs of an object.
pub(super) fn pairs(value: Option<&Value>) -> Vec<(&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten().collect()
}

/// The strings of an array.
pub(super) fn lines<'a>(row: &'a Value, key: &str) -> Vec<&'a str> {
    let lines = row.get(key).and_then(Value::as_array).into_iter().flatten();
    lines.filter_map(Value::as_str).collect()
}

/// The first digits of a version's id.
pub(super) fn short(version: &str) -> &str {
    version.get(..DIGITS).unwrap_or(version)
}
