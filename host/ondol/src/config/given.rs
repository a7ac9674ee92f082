//! A value as it was given, before the setting's type is known.

use std::fmt;

use serde_json::Value as Json;
use toml::de::DeValue;

use ondol_host_handlers::setting_text;

/// A value as it was given.
pub(super) enum Given {
    /// From the environment or a flag: text for a value of any type.
    Word(String),
    /// From a file: a string.
    Text(String),
    /// From a file: a whole number.
    Number(i64),
    /// From a file: `true` or `false`.
    Truth(bool),
    /// From a file: an array.
    List(Vec<Self>),
    /// From a file: any other value as its text, and its type.
    Other(String, &'static str),
}

impl Given {
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Self::Other(number.as_str().to_owned(), "a number"), Self::Number),
            DeValue::Float(number) => Self::Other(number.as_str().to_owned(), "a number"),
            DeValue::Boolean(truth) => Self::Truth(*truth),
            DeValue::Array(list) => Self::List(list.iter().map(|value| Self::from_toml(value.get_ref())).collect()),
            DeValue::Datetime(time) => Self::Other(time.to_string(), "a time"),
            DeValue::Table(_) => Self::Other("{ … }".to_owned(), "a table"),
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_number(&self) -> Option<u64> {
        match self {
            Self::Word(text) => text.replace('_', "").parse().ok(),
            Self::Number(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// The texts of a list; in the environment or a flag, of a comma-separated text.
    pub(super) fn as_list(&self) -> Option<Vec<&str>> {
        match self {
            Self::Word(words) => Some(words.split(',').map(str::trim).filter(|word| !word.is_empty()).collect()),
            Self::List(list) => list.iter().map(Self::as_str).collect(),
            _ => None,
        }
    }

    pub(super) fn as_truth(&self) -> Option<bool> {
        match self {
            Self::Word(text) => text.parse().ok(),
            Self::Truth(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The value as a handler's setting: numbers, booleans and lists become text.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Self::Other(text, "a number") => Some(text.clone()),
            other => setting_text(&other.as_json()?),
        }
    }

    fn as_json(&self) -> Option<Json> {
        match self {
            Self::Word(text) | Self::Text(text) => Some(text.clone().into()),
            Self::Number(number) => Some((*number).into()),
            Self::Truth(truth) => Some((*truth).into()),
            Self::List(items) => items.iter().map(Self::as_json).collect::<Option<Vec<_>>>().map(Json::Array),
            Self::Other(text, "a number") => serde_json::from_str(text).ok(),
            Self::Other(..) => None,
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) => write!(f, "`{text}`"),
            Self::Text(text) => write!(f, "the string {text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::List(list) => {
                write!(f, "the array [")?;
                for (index, value) in list.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { ", " })?;
                }
                write!(f, "]")
            }
            Self::Other(text, kind) => write!(f, "{text} ({kind})"),
        }
    }
}
