//! A setting as its handler gets it, which is text.

use serde_json::Value as Json;

/// The text of a setting that is given as JSON: a string is itself, a number or a truth value is written out, and a
/// list is its JSON text. None: it is none of these, or it contains U+0000, which cannot be stored.
#[must_use]
pub fn setting_text(given: &Json) -> Option<String> {
    match given {
        Json::String(text) => Some(text).filter(|text| !text.contains('\0')).cloned(),
        Json::Number(_) | Json::Bool(_) => Some(given.to_string()),
        Json::Array(items) if items.iter().all(|item| setting_text(item).is_some()) => Some(given.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_its_json_text() {
        let text = |given: Json| setting_text(&given);
        assert_eq!(text(json!(["a", 1, true, ["둘"]])), Some(r#"["a",1,true,["둘"]]"#.to_owned()));
        assert_eq!(text(json!("a")), Some("a".to_owned()));
        assert_eq!(text(json!(1.5)), Some("1.5".to_owned()));
        assert_eq!(
            (text(json!("a\0b")), text(json!(["a\0b"])), text(json!("a\u{1}b"))),
            (None, None, Some("a\u{1}b".to_owned()))
        );
        assert_eq!((text(json!({})), text(json!([null])), text(json!(null))), (None, None, None));
    }
}
