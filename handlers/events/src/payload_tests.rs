//! What clients hear, to the letter.
#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

use super::*;

fn greeting() -> Message<'static> {
    Message {
        text: "안녕하세요!",
        email: "user@example.com",
        nickname: "사용자명",
        profile_url: Some("/media/profile.jpg"),
        id: 10,
        room: 3,
        seq: 1,
        created_at: 1_769_851_800_125,
        client_id: None,
        parent: None,
        extra: None,
    }
}

#[test]
fn a_message_is_written_as_the_api_has_it() {
    assert_eq!(
        message(&greeting()),
        concat!(
            r#"{"type":"chat.message","message":"안녕하세요!","sender":"user@example.com","nickname":"사용자명","#,
            r#""profile_picture_url":"/media/profile.jpg","id":10,"room":3,"seq":1,"#,
            r#""created_at":"2026-01-31T09:30:00.125Z","client_id":null,"parent":null}"#,
        )
    );
}

#[test]
fn what_a_message_lacks_is_null_and_extra_is_left_out() {
    let bare = message(&Message { profile_url: None, ..greeting() });
    assert!(bare.contains(r#","profile_picture_url":null,"id":"#), "{bare}");
    assert!(!bare.contains("extra"));
    let full = message(&Message {
        client_id: Some("c-1"),
        parent: Some(u64::MAX),
        extra: Some(r#"{"mood":"좋음"}"#),
        ..greeting()
    });
    let end = r#""client_id":"c-1","parent":18446744073709551615,"extra":"{\"mood\":\"좋음\"}"}"#;
    assert!(full.ends_with(end), "{full}");
}

#[test]
fn a_hostile_message_stays_one_json_object() {
    let hostile = "\"},{\"type\":\"x\\";
    let written = message(&Message {
        text: hostile,
        email: hostile,
        nickname: hostile,
        profile_url: Some(hostile),
        client_id: Some(hostile),
        extra: Some(hostile),
        ..greeting()
    });
    let read: serde_json::Value = serde_json::from_str(&written).unwrap();
    for key in ["message", "sender", "nickname", "profile_picture_url", "client_id", "extra"] {
        assert_eq!(read.get(key).unwrap(), hostile, "{key}");
    }
}

#[test]
fn joins_and_leaves_name_the_user() {
    let both = Announce::JoinsAndLeaves;
    assert_eq!(join(both, "민지").unwrap(), r#"{"type":"chat.user.join","username":"민지"}"#);
    assert_eq!(leave(both, "a\"b").unwrap(), r#"{"type":"chat.user.leave","username":"a\"b"}"#);
    assert_eq!(join(Announce::Nothing, "민지"), None);
    assert_eq!(leave(Announce::Nothing, "민지"), None);
}

#[test]
fn a_refusal_names_its_field_where_it_has_one() {
    assert_eq!(
        refusal("binary", "Text only.", None),
        r#"{"type":"error","error_type":"invalid_request","message":"Text only.","code":"binary"}"#
    );
    assert_eq!(
        refusal("blank", "비어 있습니다.", Some("message")),
        r#"{"type":"error","error_type":"invalid_request","message":"비어 있습니다.","code":"blank","field":"message"}"#
    );
}

#[test]
fn a_setting_that_makes_no_sense_names_its_key_and_what_it_takes() {
    let set = |value: &str| Announce::read(|key| (key == "announce").then(|| value.to_owned()));
    assert_eq!(set("nothing"), Ok(Announce::Nothing));
    assert_eq!(set("joins_and_leaves"), Ok(Announce::JoinsAndLeaves));
    assert_eq!(Announce::read(|_| None), Ok(Announce::JoinsAndLeaves));
    let why = set("joins").unwrap_err();
    assert!(why.contains("announce") && why.contains("joins_and_leaves or nothing"), "{why}");
}

#[test]
fn a_moment_reads_as_rfc_3339() {
    for (milliseconds, read) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_769_851_800_125, "2026-01-31T09:30:00.125Z"),
        (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        (253_402_207_200_999, "9999-12-30T22:00:00.999Z"),
        (253_402_207_201_000, "9999-12-30T22:00:00.999Z"),
        (u64::MAX, "9999-12-30T22:00:00.999Z"),
    ] {
        let written = message(&Message { created_at: milliseconds, ..greeting() });
        assert!(written.contains(&format!(r#""created_at":"{read}""#)), "{written}");
    }
}

#[test]
fn the_edit_in_the_readme_finds_its_line() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    for readme in ["README.md", "README.ko.md"] {
        let readme = std::fs::read_to_string(format!("{root}/{readme}")).unwrap();
        let edit = readme.lines().find(|line| line.starts_with("sed -i 's/")).unwrap();
        let (line, file) = (edit.split('/').nth(1).unwrap(), edit.split(' ').next_back().unwrap());
        let source = std::fs::read_to_string(format!("{root}/{file}")).unwrap();
        assert_eq!(source.matches(line).count(), 1, "{line} in {file}");
    }
}
