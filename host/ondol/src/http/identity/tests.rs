//! Who is calling, from queries and headers as gateways send them.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};

use super::{Asked, Identity, IdentityError};
use crate::config::Config;
use ondol_host_model::User;

fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

fn identity() -> Identity {
    Identity::new(&Config::default()).unwrap()
}

fn asked<'a>(query: &'a str, headers: &'a HeaderMap) -> Asked<'a> {
    Asked { method: &Method::GET, path: "/", query, headers, peer: [127, 0, 0, 1].into() }
}

fn required(query: &str, headers: &HeaderMap) -> Result<User, IdentityError> {
    identity().required(&asked(query, headers)).map(|caller| caller.user)
}

fn from_query(query: &str) -> Result<User, IdentityError> {
    required(query, &HeaderMap::new())
}

fn ann(nickname: &str) -> User {
    User { id: "7".into(), nickname: nickname.into(), email: "ann@example.com".into(), profile_url: None }
}

#[test]
fn a_query_is_read_as_a_form() {
    let query = "user_id=7&nickname=%EC%95%A4+%2B&email=ann%40example.com&profile_url=";
    assert_eq!(from_query(query), Ok(ann("앤 +")));
}

#[test]
fn headers_are_read_encoded_and_raw() {
    for nickname in ["%EC%95%A4".as_bytes(), "앤".as_bytes()] {
        let headers = headers(&[("x-user-id", b"7"), ("x-nickname", nickname), ("x-email", b"ann@example.com")]);
        assert_eq!(required("", &headers), Ok(ann("앤")));
    }
    for literal in ["100%", "%61dmin", "a%2"] {
        let headers =
            headers(&[("x-user-id", b"7"), ("x-nickname", literal.as_bytes()), ("x-email", b"ann@example.com")]);
        assert_eq!(required("", &headers), Ok(ann(literal)));
    }
}

#[test]
fn duplicates_are_refused() {
    let good = "user_id=7&nickname=a&email=e";
    let twice = Err(IdentityError::Twice("user_id"));
    assert_eq!(from_query(&format!("{good}&user_id=7")), twice);
    assert_eq!(from_query(&format!("{good}&user%5Fid=8")), twice);
    let doubled = headers(&[("x-user-id", b"7"), ("x-user-id", b"7")]);
    assert_eq!(required(good, &doubled), twice);
    let twin = headers(&[("x_user_id", b"8")]);
    assert_eq!(required(good, &twin), twice);
}

#[test]
fn query_and_headers_must_agree() {
    let good = "user_id=7&nickname=a&email=e";
    let same = [("x-user-id", &b"7"[..]), ("x-nickname", b"a"), ("x-email", b"e")];
    assert!(required(good, &headers(&same)).is_ok());
    for (name, value, key) in [("x-user-id", &b"8"[..], "user_id"), ("x-profile-url", b"/mine.png", "profile_url")] {
        let mut mixed = headers(&same);
        mixed.insert(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        assert_eq!(required(good, &mixed), Err(IdentityError::Differs(key)));
    }
    let alone = headers(&[("x-profile-url", b"/mine.png")]);
    assert!(required(good, &alone).is_err());
}

#[test]
fn errors_name_the_invalid_value() {
    assert_eq!(from_query(""), Err(IdentityError::Absent));
    assert_eq!(from_query("user_id=7&nickname=a"), Err(IdentityError::Missing("email")));
    assert_eq!(from_query("user_id=7&nickname=+&email=e"), Err(IdentityError::Missing("nickname")));
    assert_eq!(from_query("user_id=7&nickname=a%00&email=e"), Err(IdentityError::Control("nickname")));
    let not_utf8 = from_query("user_id=7&nickname=%FF&email=e").unwrap_err().to_string();
    assert!(not_utf8.starts_with("nickname is not valid UTF-8"), "{not_utf8}");
    let long = format!("user_id=7&nickname={}&email=e", "가".repeat(65));
    assert_eq!(
        from_query(&long),
        Err(IdentityError::TooLong { key: "nickname", limit: "nickname_chars_max", chars_max: 64 })
    );
    let none = HeaderMap::new();
    assert_eq!(identity().optional(&asked("a=b", &none)), Ok(None));
    assert!(identity().optional(&asked("user_id=7", &none)).is_err());
}

#[test]
fn an_id_is_kept_composed_and_a_name_trimmed_and_closed() {
    let decomposed = "user_id=Vie%CC%A3%CC%82t&nickname=%E3%85%A4%E2%80%AE%E1%84%80%E1%85%A1%E2%80%8B&email=e%CC%81";
    let user = from_query(decomposed).unwrap();
    assert_eq!((user.id.as_str(), user.email.as_str()), ("Việt", "e\u{301}"));
    assert_eq!(user.nickname, "\u{202e}\u{1100}\u{1161}\u{202c}");
    let composed = [
        ("x-user-id", "Việt".as_bytes()),
        ("x-nickname", "ㅤ\u{202e}가\u{200b}".as_bytes()),
        ("x-email", "é".as_bytes()),
    ];
    assert_eq!(required(decomposed, &headers(&composed)), Ok(user));
    // What is invisible in an id makes it another id, and is not enough for one.
    assert_eq!(from_query("user_id=%E2%80%8B7&nickname=a&email=e").unwrap().id, "\u{200b}7");
    assert_eq!(from_query("user_id=%E2%80%8B&nickname=a&email=e"), Err(IdentityError::Missing("user_id")));
}

#[test]
fn lengths_count_composed_characters() {
    let of = |count: usize| format!("user_id=7&email=e&nickname={}", "%E1%84%80%E1%85%A1".repeat(count));
    assert!(from_query(&of(64)).is_ok());
    assert!(matches!(from_query(&of(65)), Err(IdentityError::TooLong { key: "nickname", .. })));
}
