//! The four keys of a client's JSON object that a message is made of. Knows nothing of what their values may be.
//!
//! Everything else in the frame is skipped, however deep or odd it is: serde's [`IgnoredAny`] builds nothing and takes no
//! stack, so no frame can bring a handler down.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The keys of a frame.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// `type`
    pub kind: Value,
    /// `message`
    pub message: Value,
    /// `client_id`
    pub client_id: Value,
    /// `parent`
    pub parent: Value,
    /// The first of these keys that was given again.
    pub repeated: Option<&'static str>,
}

/// One value, as far as a message can need it.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// The key was not there.
    #[default]
    Missing,
    /// `null`
    Null,
    /// A string.
    Text(String),
    /// A whole number, written without sign, fraction and exponent.
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
pub fn parse(frame: &str) -> Result<Fields, Error> {
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

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = entries.next_key::<String>()? {
            let (name, value) = match key.as_str() {
                "type" => ("type", &mut fields.kind),
                "message" => ("message", &mut fields.message),
                "client_id" => ("client_id", &mut fields.client_id),
                "parent" => ("parent", &mut fields.parent),
                _ => {
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

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Whole(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Value, A::Error> {
        IgnoredAny.visit_seq(items).map(|_| Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        IgnoredAny.visit_map(entries).map(|_| Value::Other)
    }
}
