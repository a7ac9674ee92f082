//! The fields of a JSON object in their order, so that a duplicate can be reported. A value is read when it is asked for: an odd
//! one that nothing needs does not matter.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::HttpError;

/// The fields of a JSON object.
pub(super) struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    pub(super) fn parse(text: &str) -> Result<Self, HttpError> {
        serde_json::from_str(text).map_err(|error| HttpError::Parse(error.to_string()))
    }

    /// The value of a field.
    ///
    /// # Errors
    ///
    /// When it is given twice, or cannot be read: a number past what a double holds, or half a surrogate pair.
    pub(super) fn get(&self, field: &'static str) -> Result<Option<Value>, HttpError> {
        let mut found = self.0.iter().filter(|(name, _)| name == field);
        let Some((_, value)) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(HttpError::field(field, "duplicate_key", format!("{field}: given more than once.")));
        }
        let read = serde_json::from_str(value.get());
        read.map(Some).map_err(|error| HttpError::field(field, "invalid", format!("{field}: {error}")))
    }

    /// Whether any value of a field is this text.
    pub(super) fn has(&self, field: &str, text: &str) -> bool {
        let mut found = self.0.iter().filter(|(name, _)| name == field);
        found.any(|(_, value)| serde_json::from_str::<Value>(value.get()).is_ok_and(|value| value == text))
    }
}

/// A whole number as clients write it: `7`, `7.0` or `"7"`, from 0 to 2⁶³ − 1, what the database holds.
pub(super) fn whole(value: &Value) -> Option<u64> {
    /// Up to here every whole number is a double.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number from 0 to 2^53")]
    let number = match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            let float = number.as_f64()?;
            (float.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&float)).then_some(float as u64)
        }),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    number.filter(|number| i64::try_from(*number).is_ok())
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_whole_number_may_be_a_text_or_a_double() {
        for seven in [json!(7), json!(7.0), json!("7"), json!("07")] {
            assert_eq!(whole(&seven), Some(7), "{seven}");
        }
        assert_eq!(whole(&json!(i64::MAX)), Some(i64::MAX.unsigned_abs()));
        let others = [
            json!(7.5),
            json!(-7),
            json!("7x"),
            json!(""),
            json!("+7"),
            json!(" 7"),
            json!(1e17),
            json!(u64::MAX),
            json!(true),
        ];
        for other in others {
            assert_eq!(whole(&other), None, "{other}");
        }
    }
}
