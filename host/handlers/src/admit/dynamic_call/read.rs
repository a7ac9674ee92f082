//! From JSON to a component's value, by its type. A name may be written as WIT writes it or with underscores; a field
//! that is an option may be left out; and a sender, which is a number to a handler, is written as that user.
//! An error names the place of what does not fit.

use std::sync::Arc;

use serde_json::{Map, Value as Json};
use wasmtime::component::types::{Record, Variant};
use wasmtime::component::{Type, Val};

use ondol_host_model::{Speaker, User};

/// JSON that is not of the wanted type.
#[derive(Debug, thiserror::Error)]
#[error("{place} takes {takes}; got {got}")]
pub struct Unreadable {
    /// Where: an argument's name and the path into it.
    pub place: String,
    /// What it takes.
    pub takes: String,
    /// What it was given, shortened.
    pub got: String,
}

/// The longest piece of the given JSON that an error shows, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// Reads one value after another, and remembers the users in them.
#[derive(Default)]
pub(super) struct Reader {
    /// The senders of the present call.
    pub(super) senders: Vec<Arc<Speaker>>,
    /// All senders so far: for the life of an instance, a key means one user.
    known: Vec<Arc<Speaker>>,
}

impl Reader {
    /// Reads `json` as a `ty`. `place` is what an error calls it.
    pub(super) fn value(&mut self, ty: &Type, json: &Json, place: &str) -> Result<Val, Unreadable> {
        let wrong = |takes: &str| unreadable(place, takes, json);
        let signed = || json.as_i64().ok_or_else(|| wrong("a whole number"));
        let unsigned = || json.as_u64().ok_or_else(|| wrong("a whole number, 0 or more"));
        let float = || json.as_f64().ok_or_else(|| wrong("a number"));
        let array = |takes: &str| json.as_array().ok_or_else(|| wrong(takes));

        Ok(match ty {
            Type::Bool => Val::Bool(json.as_bool().ok_or_else(|| wrong("true or false"))?),
            Type::S8 => Val::S8(signed()?.try_into().map_err(|_| wrong("a number of 8 bits with a sign"))?),
            Type::S16 => Val::S16(signed()?.try_into().map_err(|_| wrong("a number of 16 bits with a sign"))?),
            Type::S32 => Val::S32(signed()?.try_into().map_err(|_| wrong("a number of 32 bits with a sign"))?),
            Type::S64 => Val::S64(signed()?),
            Type::U8 => Val::U8(unsigned()?.try_into().map_err(|_| wrong("a number from 0 to 255"))?),
            Type::U16 => Val::U16(unsigned()?.try_into().map_err(|_| wrong("a number from 0 to 65535"))?),
            Type::U32 => Val::U32(unsigned()?.try_into().map_err(|_| wrong("a number from 0 to 4294967295"))?),
            Type::U64 if place.rsplit('.').next() == Some("sender") => Val::U64(self.sender(json, place)?),
            Type::U64 => Val::U64(unsigned()?),
            #[allow(clippy::cast_possible_truncation, reason = "the nearest f32 is what is meant")]
            Type::Float32 => Val::Float32(float()? as f32),
            Type::Float64 => Val::Float64(float()?),
            Type::Char => {
                let mut chars = json.as_str().unwrap_or_default().chars();
                match (chars.next(), chars.next()) {
                    (Some(char), None) => Val::Char(char),
                    _ => return Err(wrong("a string of one character")),
                }
            }
            Type::String => Val::String(json.as_str().ok_or_else(|| wrong("a string"))?.to_owned()),
            Type::List(list) => Val::List(self.items(&list.ty(), array("an array")?, place)?),
            Type::Tuple(tuple) => {
                let (types, items) = (tuple.types(), array("an array")?);
                if types.len() != items.len() {
                    return Err(wrong(&format!("an array of {}", types.len())));
                }
                let read =
                    |(index, (ty, item)): (usize, (Type, &Json))| self.value(&ty, item, &format!("{place}[{index}]"));
                Val::Tuple(types.zip(items).enumerate().map(read).collect::<Result<_, _>>()?)
            }
            Type::Option(_) if json.is_null() => Val::Option(None),
            Type::Option(option) => Val::Option(Some(Box::new(self.value(&option.ty(), json, place)?))),
            Type::Record(record) => {
                let object = json.as_object().ok_or_else(|| wrong(&format!("an object with {}", fields(record))))?;
                Val::Record(self.record(record, object, place)?)
            }
            Type::Variant(variant) => self.variant(variant, json, place)?,
            Type::Enum(names) => {
                let takes = || wrong(&format!("one of {}", quoted(names.names())));
                let given = json.as_str().ok_or_else(takes)?;
                Val::Enum(names.names().find(|name| same(name, given)).ok_or_else(takes)?.to_owned())
            }
            Type::Flags(names) => {
                let takes = || wrong(&format!("an array of {}", quoted(names.names())));
                let known =
                    |item: &Json| Some(names.names().find(|name| same(name, item.as_str().unwrap_or("")))?.to_owned());
                let flags: Option<Vec<String>> = json.as_array().ok_or_else(takes)?.iter().map(known).collect();
                Val::Flags(flags.ok_or_else(takes)?)
            }
            Type::Result(result) => {
                let takes = || wrong("an object with \"ok\" or \"err\"");
                let object = json.as_object().filter(|object| object.len() == 1).ok_or_else(takes)?;
                let mut payload = |ty: Option<Type>, json: &Json, key: &str| match ty {
                    Some(ty) => self.value(&ty, json, &format!("{place}.{key}")).map(|value| Some(Box::new(value))),
                    None if json.is_null() => Ok(None),
                    None => Err(unreadable(&format!("{place}.{key}"), "null", json)),
                };
                match (object.get("ok"), object.get("err")) {
                    (Some(ok), _) => Val::Result(Ok(payload(result.ok(), ok, "ok")?)),
                    (_, Some(err)) => Val::Result(Err(payload(result.err(), err, "err")?)),
                    _ => return Err(takes()),
                }
            }
            _ => return Err(wrong("a value that JSON cannot write")),
        })
    }

    fn items(&mut self, ty: &Type, items: &[Json], place: &str) -> Result<Vec<Val>, Unreadable> {
        items.iter().enumerate().map(|(index, item)| self.value(ty, item, &format!("{place}[{index}]"))).collect()
    }

    fn record(
        &mut self,
        record: &Record,
        object: &Map<String, Json>,
        place: &str,
    ) -> Result<Vec<(String, Val)>, Unreadable> {
        let names: Vec<&str> = record.fields().map(|field| field.name).collect();
        only(&names, object, place)?;
        let mut values = Vec::new();
        for field in record.fields() {
            let place = format!("{place}.{}", field.name);
            let value = match (given(field.name, object, &place)?, &field.ty) {
                (Some(json), ty) => self.value(ty, json, &place)?,
                (None, Type::Option(_)) => Val::Option(None),
                (None, _) => return Err(missing(place)),
            };
            values.push((field.name.to_owned(), value));
        }
        Ok(values)
    }

    /// A case without a payload is its name; one with a payload an object with that one key.
    fn variant(&mut self, variant: &Variant, json: &Json, place: &str) -> Result<Val, Unreadable> {
        let takes = || {
            let cases = variant.cases().map(|case| match case.ty {
                Some(_) => format!("{{\"{}\": …}}", case.name),
                None => format!("\"{}\"", case.name),
            });
            unreadable(place, &format!("one of {}", cases.collect::<Vec<_>>().join(", ")), json)
        };
        let (name, payload) = match json {
            Json::String(name) => (name, None),
            Json::Object(object) if object.len() == 1 => match object.iter().next() {
                Some((name, payload)) => (name, Some(payload)),
                None => return Err(takes()),
            },
            _ => return Err(takes()),
        };
        let case = variant.cases().find(|case| same(case.name, name)).ok_or_else(takes)?;
        let payload = match (&case.ty, payload) {
            (Some(ty), Some(json)) => Some(Box::new(self.value(ty, json, &format!("{place}.{}", case.name))?)),
            (None, None | Some(Json::Null)) => None,
            _ => return Err(takes()),
        };
        Ok(Val::Variant(case.name.to_owned(), payload))
    }

    /// The key of a user who is written out.
    fn sender(&mut self, json: &Json, place: &str) -> Result<u64, Unreadable> {
        let takes = || unreadable(place, &format!("an object with {}", USER.join(", ")), json);
        let object = json.as_object().ok_or_else(takes)?;
        only(&USER, object, place)?;
        let text = |name: &str| {
            let place = format!("{place}.{name}");
            match given(name, object, &place)? {
                None | Some(Json::Null) => Ok(None),
                Some(Json::String(text)) => Ok(Some(text.clone())),
                Some(other) => Err(unreadable(&place, "a string", other)),
            }
        };
        let required = |name: &str| text(name)?.ok_or_else(|| missing(format!("{place}.{name}")));
        let [id, nickname, email, profile_url] = USER;
        let user = User {
            id: required(id)?,
            nickname: required(nickname)?,
            email: required(email)?,
            profile_url: text(profile_url)?,
        };
        let known = self.known.iter().find(|known| ****known == user).map(Arc::clone);
        let speaker = known.unwrap_or_else(|| {
            let speaker = Arc::new(Speaker::new(user));
            self.known.push(Arc::clone(&speaker));
            speaker
        });
        let key = speaker.key().0;
        self.senders.push(speaker);
        Ok(key)
    }
}

/// The fields of `types.user`.
const USER: [&str; 4] = ["id", "nickname", "email", "profile-url"];

/// Fails when an object has another key than these fields.
fn only(fields: &[&str], object: &Map<String, Json>, place: &str) -> Result<(), Unreadable> {
    match object.keys().find(|key| !fields.iter().any(|field| same(field, key))) {
        None => Ok(()),
        Some(key) => {
            let takes = format!("only the fields {}", fields.join(", "));
            Err(Unreadable { place: place.to_owned(), takes, got: format!("{key:?}") })
        }
    }
}

/// An object's value for a field.
fn given<'a>(field: &str, object: &'a Map<String, Json>, place: &str) -> Result<Option<&'a Json>, Unreadable> {
    let mut given = object.iter().filter(|(key, _)| same(field, key));
    match (given.next(), given.next()) {
        (Some(_), Some(_)) => {
            let (takes, got) = ("one value".to_owned(), "two spellings of it".to_owned());
            Err(Unreadable { place: place.to_owned(), takes, got })
        }
        (first, _) => Ok(first.map(|(_, json)| json)),
    }
}

fn missing(place: String) -> Unreadable {
    Unreadable { place, takes: "a value".to_owned(), got: "nothing".to_owned() }
}

/// Whether a name in JSON is one in WIT, with hyphens or underscores.
fn same(wit: &str, given: &str) -> bool {
    wit == given || wit == given.replace('_', "-")
}

fn fields(record: &Record) -> String {
    record.fields().map(|field| field.name.to_owned()).collect::<Vec<_>>().join(", ")
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn unreadable(place: &str, takes: &str, json: &Json) -> Unreadable {
    let text = json.to_string();
    let got = match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    };
    Unreadable { place: place.to_owned(), takes: takes.to_owned(), got }
}
