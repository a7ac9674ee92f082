//! What clients send, and what becomes of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says so by failing")]

use super::*;

fn text(json: &str) -> Result<Draft, Refusal> {
    read(&Limits::default(), &Frame::Text(json))
}

fn body(json: &str) -> Result<Draft, Refusal> {
    read(&Limits::default(), &Frame::Body(json))
}

fn said(message: &str) -> String {
    format!(r#"{{"type":"chat.message","message":{message}}}"#)
}

/// The code and the field of the refusal that a frame must meet.
fn refused(json: &str) -> (&'static str, Option<&'static str>) {
    match text(json) {
        Ok(draft) => panic!("{json} was taken as {draft:?}"),
        Err(refusal) => (refusal.code, refusal.field),
    }
}

#[test]
fn a_plain_message_is_taken() {
    let draft = text(&said(r#""안녕하세요!""#)).unwrap();
    assert_eq!(draft, Draft { text: "안녕하세요!".to_owned(), client_id: None, parent: None });
}

#[test]
fn a_client_may_name_its_message_and_the_one_it_answers() {
    let draft = text(r#"{"parent":7,"client_id":"c-1","message":"네","type":"chat.message"}"#).unwrap();
    assert_eq!(draft.client_id.as_deref(), Some("c-1"));
    assert_eq!(draft.parent, Some(7));
    let echoed = text(r#"{"type":"chat.message","message":"네","client_id":null,"parent":null}"#).unwrap();
    assert_eq!((echoed.client_id, echoed.parent), (None, None));
}

#[test]
fn a_body_needs_no_type_but_may_not_have_another() {
    let draft = body(r#"{"message":"안녕","room":3,"client_id":"c","parent":1}"#).unwrap();
    assert_eq!((draft.client_id.as_deref(), draft.parent), (Some("c"), Some(1)));
    assert!(body(&said(r#""안녕""#)).is_ok());
    assert_eq!(body(r#"{"type":"chat.typing","message":"x"}"#).unwrap_err().code, "unknown_type");
    assert_eq!(body(r#"{"type":null,"message":"x"}"#).unwrap_err().code, "wrong_type");
}

#[test]
fn text_is_trimmed_and_its_escapes_resolved() {
    assert_eq!(text(&said(r#""  안녕\n ""#)).unwrap().text, "안녕");
    assert_eq!(text(&said("\"\u{3000}둘\u{a0}\"")).unwrap().text, "둘");
    assert_eq!(text(&said(r#""\uac00\ud83d\ude00\/\"\\\t끝""#)).unwrap().text, "가😀/\"\\\t끝");
    let family = "👩\u{200d}👩\u{200d}👧\u{200d}👦";
    assert_eq!(text(&said(&format!("\"{family}\""))).unwrap().text, family);
}

#[test]
fn the_limit_counts_characters_after_trimming() {
    let of = |count: usize| said(&format!("\"  {}  \"", "가".repeat(count)));
    assert_eq!(text(&of(2000)).unwrap().text.chars().count(), 2000);
    assert_eq!(refused(&of(2001)), ("too_long", Some("message")));
    assert!(text(&said(&format!("\"{}\"", "😀".repeat(2000)))).is_ok());
    let short = Limits { text_length_max: 2 };
    assert!(read(&short, &Frame::Text(&said("\"둘둘\""))).is_ok());
    let no = read(&short, &Frame::Text(&said("\"셋셋셋\""))).unwrap_err();
    assert_eq!(no.message, "The message must have at most 2 characters.");
}

#[test]
fn the_limit_counts_composed_characters_and_the_text_stays_as_sent() {
    let decomposed = |count: usize| "\u{1112}\u{1161}\u{11ab}".repeat(count);
    assert_eq!(text(&said(&format!("\"{}\"", decomposed(2000)))).unwrap().text, decomposed(2000));
    assert_eq!(refused(&said(&format!("\"{}\"", decomposed(2001)))), ("too_long", Some("message")));
}

#[test]
fn a_text_of_invisible_characters_is_blank() {
    for blank in ["\u{3164}", " \u{200b}\u{2060} ", "\u{115f}\u{1160}", "\u{2800}", r"\u3164", r"\ufeff"] {
        assert_eq!(refused(&said(&format!("\"{blank}\""))), ("blank", Some("message")), "{blank:?}");
    }
    for kept in ["\u{3164}민지\u{200b}", "❤\u{fe0f}", "می\u{200c}خواهم", "\u{202e}민지"] {
        assert_eq!(text(&said(&format!("\"{kept}\""))).unwrap().text, kept);
    }
}

#[test]
fn control_characters_and_lengths_are_seen_wherever_they_stand() {
    for before in 0..20 {
        for character in (0..=0x80).filter_map(char::from_u32).chain(['\u{ff}', '가', '\u{9f}']) {
            let text = format!("{}{character}{}", "~".repeat(before), "x".repeat(9));
            let bad = text.trim().chars().any(|c| c.is_control() && !"\n\r\t".contains(c));
            let read = |length_max| read_text(&Value::Text(Cow::Borrowed(&text)), length_max).map_err(|no| no.code);
            let length = text.trim().chars().count();
            assert_eq!(read(length).err(), bad.then_some("invalid"), "{text:?}");
            assert_eq!(read(length - 1).err(), Some(if bad { "invalid" } else { "too_long" }), "{text:?}");
        }
    }
}

#[test]
fn a_frame_that_is_not_a_json_object_is_refused() {
    let no = read(&Limits::default(), &Frame::Binary).unwrap_err();
    assert_eq!((no.code, no.field), ("binary", None));
    let broken = [
        "",
        " ",
        "hello",
        "{",
        "{}}",
        "{} {}",
        r#"{"type":"chat.message",}"#,
        "{'type':1}",
        "\u{feff}\u{feff}{}",
        "[1,",
        r#"{"type":"chat.message","message":"a"#,
        "{\"message\":\"a\nb\"}",
        "nul",
        "01",
        "1e999999",
    ];
    for json in broken {
        assert_eq!(refused(json), ("invalid_json", None), "{json:?}");
    }
    for json in ["[]", "[[1],{\"a\":2}]", "\"text\"", "\"\\u0061\"", "1", "-1", "1.5", "true", "null", " 7 "] {
        assert_eq!(refused(json), ("not_an_object", None), "{json:?}");
    }
}

#[test]
fn every_field_has_its_own_refusals() {
    assert_eq!(refused("{}"), ("missing_type", Some("type")));
    assert_eq!(refused(r#"{"message":"x"}"#), ("missing_type", Some("type")));
    assert_eq!(refused(r#"{"type":"chat.shout","message":"x"}"#), ("unknown_type", Some("type")));
    assert_eq!(refused(r#"{"type":["chat.message"],"message":"x"}"#), ("wrong_type", Some("type")));
    assert_eq!(refused(r#"{"type":"chat.message"}"#), ("missing", Some("message")));
    for wrong in ["null", "1", "-1", "1e5", "true", "[]", "{}", r#"["a",{"b":[]}]"#, r#"{"a":{"b":1}}"#] {
        assert_eq!(refused(&said(wrong)), ("wrong_type", Some("message")), "{wrong}");
    }
    for blank in [r#""""#, r#""  ""#, r#""\n\t\r""#, "\"\u{3000}\u{2003}\""] {
        assert_eq!(refused(&said(blank)), ("blank", Some("message")), "{blank}");
    }
    for invalid in [r#""a\u0000b""#, r#""\u001b[31m""#, r#""a\u0008b""#, "\"a\u{7f}b\"", "\"a\u{9b}b\""] {
        assert_eq!(refused(&said(invalid)), ("invalid", Some("message")), "{invalid}");
    }
    assert!(text(&said(r#""a\nb\tc\r\nd""#)).is_ok());
}

#[test]
fn client_ids_and_parents_have_bounds() {
    let with = |key: &str, value: &str| format!(r#"{{"type":"chat.message","message":"x","{key}":{value}}}"#);
    let id = |count: usize| with("client_id", &format!("\"{}\"", "아".repeat(count)));
    assert!(text(&id(1)).is_ok() && text(&id(64)).is_ok());
    assert_eq!(refused(&id(65)), ("invalid_client_id", Some("client_id")));
    for wrong in [r#""""#, "1", "true", "[]", r#"{"a":1}"#, r#""a\nb""#, r#""\u0000""#] {
        assert_eq!(refused(&with("client_id", wrong)), ("invalid_client_id", Some("client_id")), "{wrong}");
    }
    assert_eq!(text(&with("parent", "18446744073709551615")).unwrap().parent, Some(u64::MAX));
    for wrong in ["0", "-1", "-0", "1.5", "-1.0", "1e17", "\"1\"", "true", "[1]", "{}", "18446744073709551616", "1e308"]
    {
        assert_eq!(refused(&with("parent", wrong)), ("invalid_parent", Some("parent")), "{wrong}");
    }
}

#[test]
fn a_known_key_may_not_come_twice_and_an_unknown_one_may() {
    let twice = r#"{"type":"chat.message","message":"a","message":"b"}"#;
    assert_eq!(refused(twice), ("duplicate_key", Some("message")));
    assert_eq!(refused(r#"{"type":"chat.message","mess\u0061ge":"a","message":"b"}"#).0, "duplicate_key");
    assert_eq!(refused(r#"{"type":"a","type":"b"}"#), ("duplicate_key", Some("type")));
    assert_eq!(refused(r#"{"parent":null,"parent":1}"#), ("duplicate_key", Some("parent")));
    assert!(text(r#"{"type":"chat.message","x":1,"x":[2],"message":"a","":{}}"#).is_ok());
}

#[test]
fn what_is_not_needed_is_stepped_over_however_odd() {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let huge = format!("-{}.5e{}", "9".repeat(20_000), "9".repeat(20_000));
    for odd in [deep.as_str(), &huge, "1e999999", r#"{"message":"inner","type":1}"#] {
        let taken = text(&format!(r#"{{"odd":{odd},"type":"chat.message","message":"밖"}}"#)).unwrap();
        assert_eq!(taken.text, "밖");
    }
    assert_eq!(refused(&deep).0, "not_an_object");
    assert_eq!(refused(&said(&deep)).0, "wrong_type");
    assert_eq!(refused(&"[".repeat(60_000)).0, "invalid_json");
    assert_eq!(refused(&r#"{"a":"#.repeat(10_000)).0, "invalid_json");
    assert_eq!(refused(&said("1e999999")).0, "invalid_json");
}

#[test]
fn half_a_surrogate_pair_is_not_json() {
    for half in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\u0041""#, r#""\ud83dx""#] {
        assert_eq!(refused(&said(half)).0, "invalid_json", "{half}");
    }
}

#[test]
fn no_refusal_repeats_what_was_sent() {
    let secret = r#"{"type":"s3cret","message":"s3cret","client_id":"s3cret"} s3cret"#;
    assert!(!text(secret).unwrap_err().message.contains("s3cret"));
    assert!(!text(&secret.replace("} s3cret", "}")).unwrap_err().message.contains("s3cret"));
}

#[test]
fn a_setting_that_makes_no_sense_names_its_key_and_what_it_takes() {
    let set = |value: &str| Limits::read(|key| (key == "text_length_max").then(|| value.to_owned()));
    for value in ["", "0", "-1", "1000001", "many", "1.5", "99999999999999999999999"] {
        let why = set(value).unwrap_err();
        assert!(why.contains("text_length_max") && why.contains("from 1 to 1000000"), "{why}");
    }
    assert_eq!(set("5").unwrap().text_length_max, 5);
    assert_eq!(Limits::read(|_| None).unwrap().text_length_max, 2000);
}
