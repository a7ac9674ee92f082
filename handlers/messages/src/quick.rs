//! Reads at once what clients usually send: one JSON object without white space, whose keys and values are strings without
//! escapes, and in which no key that counts is given twice. All else is left to whoever knows all of JSON: so nothing may be
//! taken here that they would read otherwise.

use std::borrow::Cow;

use ondol_json::first_to_escape;

use super::json::{Fields, Value};

/// What stands in such an object; none when it is another.
#[must_use]
pub fn read(text: &str) -> Option<Fields<'_>> {
    let mut fields = Fields::default();
    let mut rest = text.strip_prefix("{\"")?;
    loop {
        let (key, after) = string(rest)?;
        let (value, after) = string(after.strip_prefix(":\"")?)?;
        let place = match key {
            "type" => Some(&mut fields.kind),
            "message" => Some(&mut fields.message),
            "client_id" => Some(&mut fields.client_id),
            "parent" => Some(&mut fields.parent),
            _ => None,
        };
        if let Some(place) = place {
            if !matches!(place, Value::Missing) {
                return None;
            }
            *place = Value::Text(Cow::Borrowed(value));
        }
        rest = match after.as_bytes() {
            [b'}'] => return Some(fields),
            _ => after.strip_prefix(",\"")?,
        };
    }
}

/// A string whose quote was seen, and what follows after it.
fn string(text: &str) -> Option<(&str, &str)> {
    let (string, rest) = text.split_at_checked(first_to_escape(text.as_bytes())?)?;
    Some((string, rest.strip_prefix('"')?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Document, parse_whole};

    fn takes_nothing_else(text: &str) -> bool {
        let Some(fields) = read(text) else { return false };
        match parse_whole(text) {
            Ok(whole) => assert_eq!(Document::Object(fields), whole, "{text:?}"),
            Err(why) => panic!("{text:?} is no JSON: {why}"),
        }
        true
    }

    #[test]
    fn what_clients_usually_send_is_read_at_once() {
        for text in [
            r#"{"type":"chat.message","message":"hi"}"#,
            r#"{"message":"안녕하세요! 👩‍👩‍👧 that is more than eight bytes","type":"chat.message","client_id":"a-1"}"#,
            r#"{"type":"","message":"","x":"y","":"","x":"z","parent":"1"}"#,
        ] {
            assert!(takes_nothing_else(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_that_simple_is_left_to_others() {
        for text in [
            r#"{"type":"chat.message","message":"a \"b\""}"#,
            r#"{"type":"chat.message", "message":"hi"}"#,
            r#"{"type":"chat.message","message":"hi"} "#,
            r#"{"type":"chat.message","message":"hi","parent":1}"#,
            r#"{"type":"chat.message","message":"hi","message":"ho"}"#,
            "{\"type\":\"chat.message\",\"message\":\"a\nb\"}",
            r#"{"type":"chat.message","message":"hi"}}"#,
            r#"{"type":"chat.message","message":"hi",}"#,
            r#"{"type":"chat.message","message":"hi"#,
            "{}",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn whatever_it_takes_is_read_alike_by_others() {
        const PIECES: [&str; 20] = [
            "{\"",
            "{",
            "}",
            "\"}",
            "\":\"",
            "\"",
            ":",
            ",",
            "\",\"",
            "type",
            "message",
            "client_id",
            "parent",
            "\\",
            "\\n",
            "방",
            "\n",
            " ",
            "longer than eight bytes",
            "null",
        ];
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let taken = (0..400_000).filter(|_| {
            let pieces = next(9) + 1;
            let text: String = (0..pieces).map(|_| PIECES[next(PIECES.len())]).collect();
            takes_nothing_else(&text) || takes_nothing_else(&format!("{{\"{text}\"}}"))
        });
        assert!(taken.count() > 1_000);
    }
}
