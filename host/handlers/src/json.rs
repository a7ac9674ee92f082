//! Whether a payload is one JSON value, as the contract has it. Knows nothing of what stands in it.
//!
//! Each message is asked this. What handlers usually write is seen to be JSON by a quick look; where that does not see it,
//! serde_json decides and says why not. So the quick look need not know all of JSON, but must never take what is none.

use ondol_json::first_to_escape;
use serde::de::IgnoredAny;

/// How deep the quick look goes.
const DEPTH_MAX: usize = 16;

/// Holds a text to be one JSON value (RFC 8259).
///
/// # Errors
///
/// Why it is none.
pub(super) fn check(text: &str) -> Result<(), serde_json::Error> {
    if looks_like_one_value(text) {
        return Ok(());
    }
    serde_json::from_str::<IgnoredAny>(text).map(drop)
}

/// What follows after what was looked for; none when that is not seen there.
type Rest<'a> = Option<&'a [u8]>;

fn looks_like_one_value(text: &str) -> bool {
    matches!(after_value(text.as_bytes(), 0), Some([]))
}

fn after_value(text: &[u8], depth: usize) -> Rest<'_> {
    match text {
        [b'"', rest @ ..] => after_string(rest),
        [b'{', rest @ ..] if depth < DEPTH_MAX => after_object(rest, depth + 1),
        [b'[', rest @ ..] if depth < DEPTH_MAX => after_array(rest, depth + 1),
        [b't', b'r', b'u', b'e', rest @ ..]
        | [b'f', b'a', b'l', b's', b'e', rest @ ..]
        | [b'n', b'u', b'l', b'l', rest @ ..] => Some(rest),
        _ => after_whole_number(text),
    }
}

/// After an object whose brace was seen.
fn after_object(mut text: &[u8], depth: usize) -> Rest<'_> {
    if let [b'}', rest @ ..] = text {
        return Some(rest);
    }
    loop {
        let [b'"', key @ ..] = text else { return None };
        let [b':', value @ ..] = after_string(key)? else { return None };
        match after_value(value, depth)? {
            [b',', rest @ ..] => text = rest,
            [b'}', rest @ ..] => return Some(rest),
            _ => return None,
        }
    }
}

/// After an array whose bracket was seen.
fn after_array(mut text: &[u8], depth: usize) -> Rest<'_> {
    if let [b']', rest @ ..] = text {
        return Some(rest);
    }
    loop {
        match after_value(text, depth)? {
            [b',', rest @ ..] => text = rest,
            [b']', rest @ ..] => return Some(rest),
            _ => return None,
        }
    }
}

/// After a string whose quote was seen and whose escapes are of one letter. That it is UTF-8 is known.
fn after_string(mut text: &[u8]) -> Rest<'_> {
    loop {
        match text.get(first_to_escape(text)?..)? {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => text = rest,
            _ => return None,
        }
    }
}

/// After a number without a sign, a fraction or an exponent.
fn after_whole_number(text: &[u8]) -> Rest<'_> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match text.split_at_checked(digits)? {
        ([] | [b'0', _, ..], _) | (_, [b'.' | b'e' | b'E', ..]) => None,
        (_, rest) => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_one_json_value() {
        for payload in [r#"{"type":"chat.message"}"#, "[1]", "\"방\"", " null\n", "-1.5e3", r#"["\u00e9"]"#] {
            assert!(check(payload).is_ok(), "{payload}");
        }
        for payload in ["", "{", "{} {}", "hello", "{\"a\":\"\n\"}", "{'a':1}"] {
            assert!(check(payload).is_err(), "{payload}");
        }
        assert!(check(&"[".repeat(100_000)).is_err(), "depth is no danger");
    }

    #[test]
    fn what_handlers_usually_write_is_seen_at_once() {
        for payload in [
            r#"{"type":"chat.message","message":"a \"b\" \\ \n 안녕 👩‍👩‍👧","sender":"a@b","id":10,"parent":null,"x":0}"#,
            r#"{"type":"chat.user.join","username":"사용자명"}"#,
            r#"{"a":[],"b":{},"c":[true,false,[[1,2]],{"d":"e"}]}"#,
            "\"\"",
            "0",
        ] {
            assert!(looks_like_one_value(payload), "{payload}");
        }
    }

    #[test]
    fn the_quick_look_takes_nothing_that_is_no_json() {
        const PIECES: [&str; 30] = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"a\":",
            "\\",
            "\\n",
            "\\u00e9",
            "\\x",
            "0",
            "01",
            "1",
            "-",
            "1.",
            "1.5",
            "e3",
            "true",
            "nul",
            "null",
            "fals",
            " ",
            "\n",
            "\u{1}",
            "방",
            "\"long enough for eight\"",
            "x",
        ];
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..400_000 {
            let pieces = next(9) + 1;
            let text: String = (0..pieces).map(|_| PIECES[next(PIECES.len())]).collect();
            let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
            assert!(is_json || !looks_like_one_value(&text), "{text:?}");
            *if is_json { &mut taken } else { &mut refused } += 1;
        }
        assert!(taken > 1_000 && refused > 1_000, "{taken} and {refused}");
    }

    #[test]
    fn a_payload_that_is_cut_or_changed_anywhere_is_judged_alike() {
        let whole =
            r#"{"type":"chat.message","message":"a \"b\" \\ 안녕","id":10,"list":[1,{"b":true}],"parent":null}"#;
        for (at, _) in whole.char_indices() {
            let (before, after) = whole.split_at(at);
            let skipped: String = after.chars().skip(1).collect();
            for text in [before.to_owned(), after.to_owned(), format!("{before}{skipped}")]
                .into_iter()
                .chain(["\"", "\\", "}", "]", ",", "0", "\t", " ", "{"].map(|more| format!("{before}{more}{after}")))
            {
                let is_json = serde_json::from_str::<IgnoredAny>(&text).is_ok();
                assert!(is_json || !looks_like_one_value(&text), "{text:?}");
                assert_eq!(check(&text).is_ok(), is_json);
            }
        }
    }
}
