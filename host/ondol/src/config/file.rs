//! The layer of the TOML file.

use std::fs;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem};
use super::given::Given;
use super::key::{Entry, Key};

/// The entries of a TOML file.
pub(super) fn entries(path: &Path, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(source) => {
            problems.push(Problem::Unreadable { path: path.to_owned(), source });
            return Vec::new();
        }
    };
    let at = |offset: usize| {
        let before = text.get(..offset).unwrap_or(&text);
        Origin::File(path.to_owned(), before.matches('\n').count() + 1)
    };
    let root = match DeTable::parse(&text) {
        Ok(root) => root.into_inner(),
        Err(error) => {
            let origin = at(error.span().map_or(0, |span| span.start));
            problems.push(Problem::Malformed { origin, why: format!("not TOML: {}", error.message()) });
            return Vec::new();
        }
    };

    let mut entries = Vec::new();
    let mut entry = |key: Key, value: &Spanned<DeValue<'_>>, offset: usize| {
        entries.push(Entry { key, given: Given::from_toml(value.get_ref()), origin: at(offset) });
    };
    for (name, value) in &root {
        let (key, start) = (name.get_ref().as_ref(), name.span().start);
        match (key, value.get_ref()) {
            ("limits" | "identity", DeValue::Table(table)) => {
                let key = |name| if key == "limits" { Key::Limit(name) } else { Key::Identity(name) };
                for (name, value) in table {
                    let DeValue::Table(inner) = value.get_ref() else {
                        entry(key(name.get_ref().to_string()), value, name.span().start);
                        continue;
                    };
                    let outer = name.get_ref();
                    for (name, value) in inner {
                        entry(key(format!("{outer}.{}", name.get_ref())), value, name.span().start);
                    }
                }
            }
            ("failure", DeValue::Table(table)) => {
                for (handler, value) in table {
                    entry(Key::Failure(handler.get_ref().to_string()), value, handler.span().start);
                }
            }
            ("settings", DeValue::Table(handlers)) => {
                for (handler, value) in handlers {
                    let DeValue::Table(table) = value.get_ref() else {
                        let key = Key::Setting { handler: handler.get_ref().to_string(), key: String::new() };
                        entry(key, value, handler.span().start);
                        continue;
                    };
                    for (name, value) in table {
                        let (handler, key) = (handler.get_ref().to_string(), name.get_ref().to_string());
                        entry(Key::Setting { handler, key }, value, name.span().start);
                    }
                }
            }
            _ => entry(Key::Option(key.to_owned()), value, start),
        }
    }
    entries
}
