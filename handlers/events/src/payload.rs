//! The JSON that clients hear. Knows the wire and nothing of components.
//!
//! Compact, keys in the order that the API promises, characters as they are: only what JSON forbids in a string is
//! escaped. Each event is written once, into one buffer that is large enough from the start.

use std::fmt::Write as _;

use ondol_json::first_to_escape;

/// What stands in every message, with the moment in its usual length, and the quotes around the text.
const MESSAGE_FRAME: &str = concat!(
    r#"{"type":"chat.message","message":"","id":,"room":,"seq":,"created_at":"2026-01-31T09:30:00.125Z","client_id":,"#,
    r#""parent":}"#
);

/// A message that was accepted, as far as clients hear of it.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its number over all rooms.
    pub id: u64,
    /// The room that it was said in.
    pub room: u64,
    /// Its place in that room.
    pub seq: u64,
    /// What [`sender`] has written of whoever said it.
    pub sender: &'a str,
    /// What was said.
    pub text: &'a str,
    /// The client's own id for it.
    pub client_id: Option<&'a str>,
    /// The message that it answers.
    pub parent: Option<u64>,
    /// What the `messages` handler kept beside the text.
    pub extra: Option<&'a str>,
    /// When the host accepted it, in milliseconds since 1970.
    pub created_at: u64,
}

/// Whether the members of a room hear of each other's coming and going. Setting `announce`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// They do.
    JoinsAndLeaves,
    /// They hear nothing.
    Nothing,
}

/// The event for a message. `extra`, where there is one, is its last key, as a string.
///
/// Its memory is of the length that it has where nothing is escaped: what is left over would be given back by each call.
#[must_use]
pub fn message(message: &Message<'_>) -> String {
    let Message { id, room, seq, sender, text, client_id, parent, extra, created_at } = *message;
    let mut digits = [(); 4].map(|()| itoa::Buffer::new());
    let [id_digits, room_digits, seq_digits, parent_digits] = &mut digits;
    let (id, room, seq) = (id_digits.format(id), room_digits.format(room), seq_digits.format(seq));
    let parent = parent.map_or("null", |parent| parent_digits.format(parent));
    let quoted = |text: &str| text.len() + 2;
    let mut out = String::with_capacity(
        MESSAGE_FRAME.len()
            + [text, sender, id, room, seq, parent].map(str::len).iter().sum::<usize>()
            + client_id.map_or(4, quoted)
            + extra.map_or(0, |extra| r#","extra":"#.len() + quoted(extra)),
    );
    out.push_str(r#"{"type":"chat.message","message":"#);
    push_string(&mut out, text);
    out.push_str(sender);
    out.push_str(r#","id":"#);
    out.push_str(id);
    out.push_str(r#","room":"#);
    out.push_str(room);
    out.push_str(r#","seq":"#);
    out.push_str(seq);
    out.push_str(r#","created_at":""#);
    push_moment(&mut out, created_at);
    out.push_str(r#"","client_id":"#);
    push_string_or_null(&mut out, client_id);
    out.push_str(r#","parent":"#);
    out.push_str(parent);
    if let Some(extra) = extra {
        out.push_str(r#","extra":"#);
        push_string(&mut out, extra);
    }
    out.push('}');
    out
}

/// What stands of a sender in the event for each of their messages.
#[must_use]
pub fn sender(email: &str, nickname: &str, profile_url: Option<&str>) -> String {
    let mut out = String::with_capacity(64 + email.len() + nickname.len() + profile_url.map_or(0, str::len));
    out.push_str(r#","sender":"#);
    push_string(&mut out, email);
    out.push_str(r#","nickname":"#);
    push_string(&mut out, nickname);
    out.push_str(r#","profile_picture_url":"#);
    push_string_or_null(&mut out, profile_url);
    out
}

/// The event for a user who has come; none where the operator wants none.
#[must_use]
pub fn join(announce: Announce, nickname: &str) -> Option<String> {
    presence(announce, r#"{"type":"chat.user.join","username":"#, nickname)
}

/// The event for a user who has gone; none where the operator wants none.
#[must_use]
pub fn leave(announce: Announce, nickname: &str) -> Option<String> {
    presence(announce, r#"{"type":"chat.user.leave","username":"#, nickname)
}

/// The event for a no, to the client whose frame was refused.
#[must_use]
pub fn refusal(code: &str, sentence: &str, field: Option<&str>) -> String {
    let mut out = String::with_capacity(128 + sentence.len() + code.len() + field.map_or(0, str::len));
    out.push_str(r#"{"type":"error","error_type":"invalid_request","message":"#);
    push_string(&mut out, sentence);
    out.push_str(r#","code":"#);
    push_string(&mut out, code);
    if let Some(field) = field {
        out.push_str(r#","field":"#);
        push_string(&mut out, field);
    }
    out.push('}');
    out
}

impl Announce {
    /// What `get` tells of; the default, joins and leaves, when it has nothing.
    ///
    /// # Errors
    /// A sentence with the key and what it takes, when the value is none of that.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        match get("announce").as_deref() {
            None | Some("joins_and_leaves") => Ok(Self::JoinsAndLeaves),
            Some("nothing") => Ok(Self::Nothing),
            Some(value) => Err(format!("The setting announce takes joins_and_leaves or nothing, not {value:?}.")),
        }
    }
}

fn presence(announce: Announce, start: &str, nickname: &str) -> Option<String> {
    if announce == Announce::Nothing {
        return None;
    }
    let mut out = String::with_capacity(start.len() + nickname.len() + 16);
    out.push_str(start);
    push_string(&mut out, nickname);
    out.push('}');
    Some(out)
}

/// `text` as a JSON string: quotes, backslashes and what is below U+0020 escaped, all else as it is (RFC 8259, 7).
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_to_escape(rest.as_bytes()) {
        // What is escaped is ASCII, so `at` and the byte after it are both where a character starts.
        let (clean, from) = rest.split_at(at);
        let (escaped, after) = from.split_at(1);
        out.push_str(clean);
        match escaped {
            "\"" => out.push_str("\\\""),
            "\\" => out.push_str("\\\\"),
            "\n" => out.push_str("\\n"),
            "\r" => out.push_str("\\r"),
            "\t" => out.push_str("\\t"),
            "\u{8}" => out.push_str("\\b"),
            "\u{c}" => out.push_str("\\f"),
            other => other.bytes().for_each(|byte| push(out, format_args!("\\u{byte:04x}"))),
        }
        rest = after;
    }
    out.push_str(rest);
    out.push('"');
}

/// A moment in UTC as RFC 3339 has it, with milliseconds: `2026-01-31T09:30:00.125Z`. It is given in milliseconds since 1970.
pub fn push_moment(out: &mut String, milliseconds: u64) {
    let (days, rest) = (milliseconds / 86_400_000, milliseconds % 86_400_000);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1_000 % 60, rest % 1_000);
    if year > 9999 {
        return push(out, format_args!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"));
    }
    // By hand: it is written for each message, and seven numbers by `write!` cost as much as a good part of a call.
    let two = |number: u64| [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
    let ([c1, c2], [y1, y2], [m1, m2], [d1, d2]) = (two(year / 100), two(year % 100), two(month), two(day));
    let ([h1, h2], [i1, i2], [s1, s2]) = (two(hour), two(minute), two(second));
    let (f1, [f2, f3]) = (b'0' + (milli / 100) as u8, two(milli % 100));
    let text =
        [c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2, b'.', f1, f2, f3, b'Z'];
    out.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// The Gregorian date of a day counted from 1970-01-01, by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>), for days that are not before it.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn push_string_or_null(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => push_string(out, text),
        None => out.push_str("null"),
    }
}

fn push(out: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail; the trait has the error for others.
    let _ = out.write_fmt(what);
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
