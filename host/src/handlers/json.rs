//! Whether a payload is one JSON value, as the contract has it. Knows nothing of what stands in it.
//!
//! Each message is asked this. What handlers usually write is seen to be JSON by a quick look; where that does not see it,
//! serde_json decides and says why not. So the quick look need not know all of JSON, but must never take what is none.

use ondol_events::payload::first_to_escape;
use serde::de::IgnoredAny;

/// How deep the quick look goes.
const DEPTH_MAX: usize = 16;

/// Holds a text to be one JSON value (RFC 8259).
///
/// # Errors
///
/// Why it is none.
pub(super) fn check(text: &str) -> Result<(), serde_json::Error> {
    if Look(text.as_bytes()).sees_one_value() {
        return Ok(());
    }
    serde_json::from_str::<IgnoredAny>(text).map(drop)
}

/// What is still to be looked at. Each method takes what it names off the front, and gives none when it does not see it.
struct Look<'a>(&'a [u8]);

impl Look<'_> {
    fn sees_one_value(mut self) -> bool {
        self.value(0).is_some() && self.0.is_empty()
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.0.first()? {
            b'"' => self.string(),
            b'{' if depth < DEPTH_MAX => self.list(b'}', |look| {
                look.string()?;
                look.byte(b':')?;
                look.value(depth + 1)
            }),
            b'[' if depth < DEPTH_MAX => self.list(b']', |look| look.value(depth + 1)),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.whole_number(),
        }
    }

    /// What stands between brackets, with commas between.
    fn list(&mut self, end: u8, item: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        self.0 = self.0.get(1..)?;
        if self.byte(end).is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.byte(b',').is_none() {
                return self.byte(end);
            }
        }
    }

    /// A string whose escapes are of one letter. That it is UTF-8 is known.
    fn string(&mut self) -> Option<()> {
        self.byte(b'"')?;
        loop {
            let (_, from) = self.0.split_at_checked(first_to_escape(self.0)?)?;
            match from {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return Some(());
                }
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => self.0 = rest,
                _ => return None,
            }
        }
    }

    /// A number without a sign, a fraction or an exponent.
    fn whole_number(&mut self) -> Option<()> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at_checked(digits)?;
        let goes_on = matches!(rest, [b'.' | b'e' | b'E', ..]);
        match number {
            [b'0', _, ..] | [] => None,
            _ if goes_on => None,
            _ => {
                self.0 = rest;
                Some(())
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        Some(())
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                Some(())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick(text: &str) -> bool {
        Look(text.as_bytes()).sees_one_value()
    }

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
            assert!(quick(payload), "{payload}");
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
            assert!(is_json || !quick(&text), "{text:?}");
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
                assert!(is_json || !quick(&text), "{text:?}");
                assert_eq!(check(&text).is_ok(), is_json);
            }
        }
    }
}
