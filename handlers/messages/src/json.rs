//! One pass over a client's JSON, which keeps the four keys of a message and steps over the rest. Knows nothing of what
//! the values may be.
//!
//! Text without escapes is borrowed. What is stepped over is never built, and its depth costs no stack, so no frame can
//! bring a handler down.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::quick;

/// The whole of a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Document<'a> {
    /// A JSON object.
    Object(Fields<'a>),
    /// Any other JSON value.
    Other,
}

/// The keys of an object that a message is made of.
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
    /// The first of these keys that was given again; the value that counts above is then the last.
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
    /// A string, its escapes resolved.
    Text(Cow<'a, str>),
    /// A whole number, written without sign, fraction and exponent.
    Whole(u64),
    /// Any other number, a boolean, an array or an object.
    Other,
}

/// Reads `text` as one JSON value, with nothing but white space around it.
///
/// # Errors
/// Where and why it is not JSON. A number past what a double can hold, and half a surrogate pair, count as such where
/// they stand in a key that is kept.
pub fn parse(text: &str) -> Result<Document<'_>, serde_json::Error> {
    match quick::read(text) {
        Some(fields) => Ok(Document::Object(fields)),
        None => parse_whole(text),
    }
}

/// The same, of whatever kind it is.
pub(crate) fn parse_whole(text: &str) -> Result<Document<'_>, serde_json::Error> {
    serde_json::from_str(text)
}

impl<'de: 'a, 'a> Deserialize<'de> for Document<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(DocumentVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ValueVisitor)
    }
}

/// A key of the object: one that is kept, or any other.
enum Key {
    Type,
    Message,
    ClientId,
    Parent,
    Unknown,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_identifier(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(match key {
            "type" => Key::Type,
            "message" => Key::Message,
            "client_id" => Key::ClientId,
            "parent" => Key::Parent,
            _ => Key::Unknown,
        })
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Whole(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = entries.next_key::<Key>()? {
            let (name, place) = match key {
                Key::Type => ("type", &mut fields.kind),
                Key::Message => ("message", &mut fields.message),
                Key::ClientId => ("client_id", &mut fields.client_id),
                Key::Parent => ("parent", &mut fields.parent),
                Key::Unknown => {
                    entries.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if !matches!(place, Value::Missing) {
                fields.repeated.get_or_insert(name);
            }
            *place = entries.next_value()?;
        }
        Ok(Document::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Document::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Document::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Document::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Document::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Document::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Document::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Document::Other)
    }
}
