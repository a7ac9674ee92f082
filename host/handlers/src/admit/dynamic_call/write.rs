//! From a component's value to JSON, with the names that WIT has. Knows nothing of types: a value says what it is.

use serde_json::{Map, Value as Json};
use wasmtime::component::Val;

/// `value` as JSON: records as objects with every field, a variant's case with a payload as an object with that one
/// key, one without as its name, none as null.
pub(super) fn json(value: &Val) -> Json {
    let all = |items: &[Val]| Json::Array(items.iter().map(json).collect());
    let payload = |value: &Option<Box<Val>>| value.as_deref().map_or(Json::Null, json);
    match value {
        Val::Bool(value) => (*value).into(),
        Val::S8(value) => (*value).into(),
        Val::U8(value) => (*value).into(),
        Val::S16(value) => (*value).into(),
        Val::U16(value) => (*value).into(),
        Val::S32(value) => (*value).into(),
        Val::U32(value) => (*value).into(),
        Val::S64(value) => (*value).into(),
        Val::U64(value) => (*value).into(),
        Val::Float32(value) => float(f64::from(*value)),
        Val::Float64(value) => float(*value),
        Val::Char(value) => value.to_string().into(),
        Val::String(value) => value.clone().into(),
        Val::List(items) | Val::Tuple(items) | Val::FixedLengthList(items) => all(items),
        Val::Map(pairs) => {
            Json::Array(pairs.iter().map(|(key, value)| Json::Array(vec![json(key), json(value)])).collect())
        }
        Val::Record(fields) => Json::Object(fields.iter().map(|(name, value)| (name.clone(), json(value))).collect()),
        Val::Variant(name, None) | Val::Enum(name) => name.clone().into(),
        Val::Variant(name, payload) => single(name, payload.as_deref().map_or(Json::Null, json)),
        Val::Option(some) => payload(some),
        Val::Result(Ok(ok)) => single("ok", payload(ok)),
        Val::Result(Err(err)) => single("err", payload(err)),
        Val::Flags(names) => Json::Array(names.iter().map(|name| name.clone().into()).collect()),
        Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => "(a handle)".into(),
    }
}

fn single(key: &str, value: Json) -> Json {
    Json::Object(Map::from_iter([(key.to_owned(), value)]))
}

/// JSON has no infinities: they are written as text.
fn float(value: f64) -> Json {
    serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Json::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_written_with_every_field() {
        let draft = Val::Record(vec![
            ("text".to_owned(), Val::String("안녕".to_owned())),
            ("client-id".to_owned(), Val::Option(None)),
            ("parent".to_owned(), Val::Option(Some(Box::new(Val::U64(u64::MAX))))),
        ]);
        let action = Val::Variant("post".to_owned(), Some(Box::new(draft)));
        let expected = r#"{"post":{"text":"안녕","client-id":null,"parent":18446744073709551615}}"#;
        assert_eq!(json(&action).to_string(), expected);
        assert_eq!(json(&Val::Variant("ignore".to_owned(), None)), "ignore");
    }
}
