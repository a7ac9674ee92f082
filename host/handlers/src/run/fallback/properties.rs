//! What holds for the default handlers whatever clients send: the contract that the host checks, the limits of the API, and
//! what another reader of JSON makes of the same text.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails should say where")]

use std::sync::Arc;

use ondol_host_model::{RoomId, Seq, Speaker, Timestamp};
use ondol_inputs::proptest::prelude::*;
use ondol_inputs::proptest::test_runner::TestCaseResult;
use ondol_inputs::{corpus, frame as frames, holds, text};
use serde_json::{Map, Value, json};

use super::*;
use crate::run::answers;

const CODES: [&str; 12] = [
    "invalid_json",
    "not_an_object",
    "duplicate_key",
    "missing_type",
    "unknown_type",
    "wrong_type",
    "missing",
    "blank",
    "invalid",
    "too_long",
    "invalid_client_id",
    "invalid_parent",
];

fn read(frame: Frame<'_>) -> Result<Draft, Refusal> {
    receive(&SettingsMap::new(), frame).map(|action| match action {
        Action::Post(draft) => draft,
        other => unreachable!("the default handler never answers {other:?}"),
    })
}

/// A frame as serde_json's own type reads it: the last of two equal keys counts. None where it refuses.
fn object(frame: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(frame.strip_prefix('\u{feff}').unwrap_or(frame)).ok()
}

fn check_accepted(draft: &Draft, frame: &str) -> TestCaseResult {
    let Draft { text, client_id, parent, extra } = draft;
    prop_assert!(!ondol_text::is_blank(text) && text == text.trim(), "{text:?}");
    prop_assert!(!ondol_text::is_longer(text, 2_000), "a text of {} characters", text.chars().count());
    prop_assert!(!text.contains(|c: char| c.is_control() && !"\n\r\t".contains(c)), "{text:?}");
    prop_assert!(extra.is_none());
    if let Some(id) = client_id {
        prop_assert!(answers::check_client_id(id).is_ok() && !id.contains(char::is_control), "{id:?}");
    }
    // An unknown key may hold what this reader refuses.
    if let Some(object) = object(frame) {
        prop_assert_eq!(object["message"].as_str().map(str::trim), Some(text.as_str()));
        prop_assert_eq!(object.get("client_id").and_then(Value::as_str), client_id.as_deref());
        let number = object.get("parent").and_then(|parent| parent.as_u64().map(|id| id as f64).or(parent.as_f64()));
        prop_assert_eq!(number, parent.map(|parent| parent.0 as f64));
    }
    // What was accepted is accepted again, and is the same.
    let again =
        json!({"type": "chat.message", "message": text, "client_id": client_id, "parent": parent.map(|id| id.0)});
    prop_assert_eq!(read(Frame::Text(&again.to_string())), Ok(draft.clone()));
    Ok(())
}

fn check_refused(refusal: &Refusal) -> TestCaseResult {
    let Refusal { code, message, field } = refusal;
    prop_assert!(CODES.contains(&code.as_str()) && answers::check_code(code).is_ok(), "{code}");
    let fields = ["type", "message", "client_id", "parent"];
    let is_whole = matches!(code.as_str(), "invalid_json" | "not_an_object");
    prop_assert_eq!(field.as_deref().is_none_or(|field| !fields.contains(&field)), is_whole, "{:?}", refusal);
    // Nothing that the client sent is in it: it is one of a few sentences.
    prop_assert!(message.is_ascii() && message.len() < 120 && message.ends_with('.'), "{message}");
    answers::check_payload(&super::refusal(refusal)).map_err(|fault| TestCaseError::fail(format!("{fault:?}")))
}

#[test]
fn a_frame_is_a_message_within_its_limits_or_is_refused_with_a_documented_code() {
    holds(corpus::frames(), frames(), |frame| {
        let (as_text, as_body) = (read(Frame::Text(&frame)), read(Frame::Body(&frame)));
        match (&as_text, &as_body) {
            (Ok(draft), _) => {
                prop_assert_eq!(&as_text, &as_body);
                check_accepted(draft, &frame)
            }
            (Err(refusal), Ok(draft)) => {
                prop_assert_eq!(&refusal.code, "missing_type");
                check_accepted(draft, &frame)
            }
            (Err(one), Err(other)) => {
                prop_assert!(one == other || one.code == "missing_type", "{one:?} {other:?}");
                check_refused(one)?;
                check_refused(other)
            }
        }
    });
}

#[test]
fn a_key_that_no_one_knows_and_white_space_change_nothing() {
    let outcome = |frame: &str| read(Frame::Text(frame)).map_err(|Refusal { code, field, .. }| (code, field));
    holds(corpus::frames(), frames(), |frame| {
        prop_assert_eq!(outcome(&frame), outcome(&format!("{frame} \r\n\t")));
        let Some(rest) = frame.trim_start_matches([' ', '\t', '\r', '\n']).strip_prefix('{') else { return Ok(()) };
        let is_empty = rest.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('}');
        let comma = if is_empty { "" } else { "," };
        let longer = format!("{{\"odd\":[1e999,{{\"message\":\"\"}}]{comma}{rest}");
        prop_assert_eq!(outcome(&frame), outcome(&longer));
        Ok(())
    });
}

#[test]
fn a_binary_frame_is_refused_whatever_it_holds() {
    holds([], any::<Vec<u8>>(), |bytes| {
        prop_assert_eq!(read(Frame::Binary(&bytes)).unwrap_err().code, "binary");
        Ok(())
    });
}

#[test]
fn a_room_has_a_name_that_the_contract_allows_or_is_refused() {
    holds(corpus::texts(), text(), |asked| {
        let create = |name: &str| {
            let request = RoomRequest { name: Some(name.to_owned()), post_id: None };
            super::create(&SettingsMap::new(), &request).map(|draft| draft.name)
        };
        match create(&asked) {
            Ok(name) => {
                prop_assert!(answers::check_name(&name).is_ok(), "{name:?}");
                prop_assert!(!ondol_text::is_blank(&name) && !name.contains(char::is_control), "{name:?}");
                prop_assert_eq!(create(&name), Ok(name.clone()), "a name is a name");
                prop_assert_eq!(create(&format!("\u{3164} {asked}\u{200b}\n")), Ok(name), "around {:?}", asked);
            }
            Err(Refusal { code, message, field }) => {
                prop_assert_eq!(field.as_deref(), Some("name"));
                let name = ondol_text::name(&asked);
                let expected = match () {
                    () if ondol_text::is_blank(&asked) => "blank",
                    () if name.contains(char::is_control) => "invalid",
                    () => "too_long",
                };
                prop_assert_eq!(code, expected);
                prop_assert!(message.is_ascii() && message.len() < 120, "{message}");
            }
        }
        Ok(())
    });
}

#[test]
fn settings_are_values_that_make_sense_or_are_named_in_the_reason() {
    type Read = fn(&str, &str) -> Result<(), String>;
    let reads: [(&str, &str, Read); 5] = [
        ("text_length_max", "1 to 1000000", |key, value| given(key, value, |get| Limits::read(get).map(drop))),
        ("name_length_max", "1 to 100", |key, value| given(key, value, |get| Rules::read(get).map(drop))),
        ("default_name", "1 to 100", |key, value| given(key, value, |get| Rules::read(get).map(drop))),
        ("post_has_room", "reuse or refuse", |key, value| given(key, value, |get| Rules::read(get).map(drop))),
        ("announce", "joins_and_leaves or nothing", |key, value| {
            given(key, value, |get| Announce::read(get).map(drop))
        }),
    ];
    let values = prop_oneof![3 => text(), 1 => "[0-9]{1,8}", 1 => "reuse|refuse|nothing|joins_and_leaves"];
    holds(corpus::texts(), values, |value| {
        for (key, takes, read) in &reads {
            if let Err(why) = read(key, &value) {
                prop_assert!(why.contains(key) && why.contains(takes), "{why}");
            }
        }
        // A default name is one that the handler may give.
        let settings = SettingsMap::from([("default_name".to_owned(), value)]);
        let name = super::create(&settings, &RoomRequest::default()).unwrap().name;
        prop_assert!(answers::check_name(&name).is_ok(), "{name:?}");
        Ok(())
    });
}

/// Reads settings of which one is given.
fn given(
    key: &str,
    value: &str,
    read: impl Fn(&dyn Fn(&str) -> Option<String>) -> Result<(), String>,
) -> Result<(), String> {
    read(&|asked| (asked == key).then(|| value.to_owned()))
}

#[test]
fn an_event_is_one_json_object_with_every_text_as_it_was() {
    let texts = (text(), text(), text(), prop::option::of(text()), prop::option::of(text()));
    holds([], (texts, any::<[u64; 5]>(), any::<bool>()), |((said, nickname, email, url, id), numbers, has_parent)| {
        let [message_id, room, seq, parent, at] = numbers;
        let user = User { id: "u1".to_owned(), nickname, email, profile_url: url };
        let draft =
            Draft { text: said, client_id: id.clone(), parent: has_parent.then_some(MessageId(parent)), extra: id };
        let message = Message {
            id: MessageId(message_id),
            room: RoomId(room),
            seq: Seq(seq),
            sender: Arc::new(Speaker::new(user.clone())),
            draft: draft.clone(),
            created_at: Timestamp(at),
            origin: None,
        };
        let event: Map<String, Value> = serde_json::from_str(&super::message(&message)).unwrap();
        let mut expected = json!({
            "type": "chat.message", "message": draft.text, "sender": user.email, "nickname": user.nickname,
            "profile_picture_url": user.profile_url, "id": message_id, "room": room, "seq": seq,
            "created_at": message.created_at.to_string(), "client_id": draft.client_id, "parent": has_parent.then_some(parent),
        });
        if let Some(extra) = draft.extra {
            expected["extra"] = extra.into();
        }
        prop_assert_eq!(Value::Object(event), expected);
        let settings = SettingsMap::new();
        for (event, kind) in [(join(&settings, &user), "chat.user.join"), (leave(&settings, &user), "chat.user.leave")]
        {
            let event: Value = serde_json::from_str(&event.unwrap()).unwrap();
            prop_assert_eq!(event, json!({"type": kind, "username": user.nickname}));
        }
        Ok(())
    });
}

#[test]
fn a_text_is_trimmed_and_measured_alike_however_often() {
    holds(corpus::texts(), text(), |given| {
        let (name, trimmed) = (ondol_text::name(&given), ondol_text::trim(&given));
        prop_assert_eq!(ondol_text::name(&name), name.as_ref());
        prop_assert_eq!(ondol_text::trim(trimmed), trimmed);
        prop_assert!(given.contains(trimmed) && trimmed.is_empty() == ondol_text::is_blank(&given), "{given:?}");
        let composed = ondol_text::nfc(&given);
        prop_assert_eq!(ondol_text::nfc(&composed), composed.as_ref());
        let length = composed.chars().count();
        prop_assert!(!ondol_text::is_longer(&given, length), "{given:?}");
        prop_assert!(length == 0 || ondol_text::is_longer(&given, length - 1), "{given:?}");
        Ok(())
    });
}
