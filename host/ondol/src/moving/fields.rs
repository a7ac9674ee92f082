//! The fields of one line: a JSON object whose values are numbers, texts or null. Errors name fields and never their values.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};

/// All fields of all lines.
const NAMES: [&str; 24] = [
    "type",
    "room",
    "seq",
    "id",
    "created_at",
    "user_id",
    "nickname",
    "email",
    "profile_url",
    "text",
    "parent",
    "client_id",
    "extra",
    "name",
    "post_id",
    "owner",
    "format",
    "ondol",
    "epoch",
    "last_id",
    "last_room",
    "rooms",
    "messages",
    "sha256",
];

/// A value. Null is the same as no value.
#[derive(Debug)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
}

/// The fields of a line.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    values: [Option<Value<'a>>; NAMES.len()],
}

impl<'a> Fields<'a> {
    /// Parses a line.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, String> {
        let line =
            std::str::from_utf8(line).map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to() + 1))?;
        let failure = Cell::new(None);
        let mut deserializer = serde_json::Deserializer::from_str(line);
        let read = ReadFields { failure: &failure }.deserialize(&mut deserializer);
        let read = read.and_then(|fields| deserializer.end().map(|()| fields));
        read.map_err(|error| match failure.take() {
            Some(failure) => failure,
            None if error.is_data() => "not a JSON object".to_owned(),
            None => format!("not a JSON object, from column {} on", error.column()),
        })
    }

    /// Refuses fields that are not among `known`.
    pub(super) fn only(&self, line: &str, known: &[&str]) -> Result<(), String> {
        let given = NAMES.iter().zip(&self.values).filter(|(_, value)| value.is_some());
        match given.map(|(name, _)| *name).find(|name| *name != "type" && !known.contains(name)) {
            Some(name) => Err(format!("{name}: a {line} line has no such field")),
            None => Ok(()),
        }
    }

    /// Takes a text.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Number(_)) => Err(format!("{name}: not a text")),
        }
    }

    /// Takes a number from `min` to `max`.
    pub(super) fn number(&mut self, name: &str, min: u64, max: u64) -> Result<Option<u64>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Number(number)) if (min..=max).contains(&number) => Ok(Some(number)),
            Some(_) => Err(format!("{name}: not a whole number from {min} to {max}")),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value<'a>> {
        let place = NAMES.iter().position(|known| *known == name)?;
        self.values.get_mut(place)?.take()
    }
}

/// A required value.
pub(super) fn needed<T>(name: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("{name}: missing"))
}

struct ReadFields<'f> {
    failure: &'f Cell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for ReadFields<'_> {
    type Value = Fields<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ReadFields<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        let mut given = [false; NAMES.len()];
        while let Some(place) = map.next_key_seed(ReadName { failure: self.failure })? {
            let name = NAMES.get(place).copied().unwrap_or_default();
            let (Some(value), Some(given)) = (fields.values.get_mut(place), given.get_mut(place)) else { continue };
            if std::mem::replace(given, true) {
                self.failure.set(Some(format!("{name}: given twice")));
                return Err(de::Error::custom("twice"));
            }
            *value = map.next_value_seed(ReadValue { name, failure: self.failure })?;
        }
        Ok(fields)
    }
}

/// Reads the name of a field. Gives its place among all.
struct ReadName<'f> {
    failure: &'f Cell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for ReadName<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ReadName<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<usize, E> {
        NAMES.iter().position(|known| *known == name).ok_or_else(|| {
            let shown: String = name.chars().take(32).flat_map(char::escape_debug).collect();
            self.failure.set(Some(format!("{shown}: there is no such field")));
            E::custom("unknown")
        })
    }
}

struct ReadValue<'f> {
    name: &'static str,
    failure: &'f Cell<Option<String>>,
}

impl ReadValue<'_> {
    fn fail<T, E: de::Error>(&self, what: &str) -> Result<T, E> {
        self.failure.set(Some(format!("{}: {what}", self.name)));
        Err(E::custom("value"))
    }
}

impl<'de> DeserializeSeed<'de> for ReadValue<'_> {
    type Value = Option<Value<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ReadValue<'_> {
    type Value = Option<Value<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number or null")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Value::Number(number)))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
        self.fail("not a whole number from 0 on")
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
        self.fail("not a whole number")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        self.fail("neither a text nor a whole number")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        self.fail("neither a text nor a whole number")
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        self.fail("neither a text nor a whole number")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Value::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Value::Text(Cow::Owned(text.to_owned()))))
    }
}
