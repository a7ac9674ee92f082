//! The four keys of a client's JSON object that a message is made of. Knows nothing of what their values may be.
//!
//! Everything else in the frame is skipped, however deep or odd it is: serde's [`IgnoredAny`] builds nothing and takes no
//! stack, so no frame can bring a handler down.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The keys of a frame.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// `type`
    pub kind: Value<'a>,
    /// `message`
    pub message: Value<'a>,
    /// `client_id`
    pub client_id: Value<'a>,
    /// `parent`
    pub parent: Value<'a>,
    /// The first of these keys that was given again.
    pub repeated: Option<&'static str>,
}

/// One value, as far as a message can need it.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Value<'a> {
    /// The key was not there.
    #[default]
    Missing,
    /// `null`
    Null,
    /// A string.
    Text(Cow<'a, str>),
    /// A whole number without a sign: `7` or `7.0`.
    Whole(u64),
    /// Any other number, a boolean, an array or an object.
    Other,
}

/// Why there are no fields.
#[derive(Debug)]
pub enum Error {
    /// The frame is no JSON. A number past what a double can hold, and half a surrogate pair, count as such in a key that
    /// is read.
    Syntax(serde_json::Error),
    /// It is another JSON value.
    NotAnObject,
}

/// Reads a frame that is one JSON object, with nothing but white space around it.
///
/// # Errors
/// It is none.
pub fn parse(frame: &str) -> Result<Fields<'_>, Error> {
    // A byte order mark does not count (RFC 8259, section 8.1).
    let frame = frame.strip_prefix('\u{feff}').unwrap_or(frame);
    match serde_json::from_str(frame) {
        Ok(fields) => Ok(fields),
        // The first byte has shown that it is no object. The rest was not looked at.
        Err(error) if error.is_data() => match serde_json::from_str::<IgnoredAny>(frame) {
            Ok(_) => Err(Error::NotAnObject),
            Err(error) => Err(Error::Syntax(error)),
        },
        Err(error) => Err(Error::Syntax(error)),
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(FieldsVisitor)
    }
}

/// A key of a frame.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    #[serde(rename = "type")]
    Kind,
    Message,
    ClientId,
    Parent,
    #[serde(other)]
    Other,
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = entries.next_key()? {
            let (name, value) = match key {
                Key::Kind => ("type", &mut fields.kind),
                Key::Message => ("message", &mut fields.message),
                Key::ClientId => ("client_id", &mut fields.client_id),
                Key::Parent => ("parent", &mut fields.parent),
                Key::Other => {
                    entries.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if *value != Value::Missing {
                fields.repeated.get_or_insert(name);
            }
            *value = entries.next_value()?;
        }
        Ok(fields)
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Whole(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        /// Up to here every whole number is a double.
        const EXACT: RangeInclusive<f64> = 0.0..=9_007_199_254_740_992.0;
        let is_whole = number.fract() == 0.0 && number.is_sign_positive() && EXACT.contains(&number);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number from 0 to 2^53")]
        Ok(if is_whole { Value::Whole(number as u64) } else { Value::Other })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Value<'de>, A::Error> {
        IgnoredAny.visit_seq(items).map(|_| Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value<'de>, A::Error> {
        IgnoredAny.visit_map(entries).map(|_| Value::Other)
    }
}
