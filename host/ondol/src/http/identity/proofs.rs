//! What holds for every token and every assertion: only the one that was signed counts, for what it was signed.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto, encode};
use ondol_inputs::proptest::prelude::*;
use ondol_inputs::proptest::sample::select;
use ondol_inputs::{corpus, holds, misspelt, text, value};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Asked, Identity, IdentityError, assertion_text};
use crate::config::{Config, IdentityMode, KeyAlgorithm, KeyFile};

const SECRET: &[u8] = b"a secret of the tests, 32 bytes or longer";

/// An identity of this mode, and the file of its key.
fn identity(mode: IdentityMode) -> (Identity, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SECRET).unwrap();
    let mut config = Config::default();
    config.identity.mode = mode;
    config.identity.keys =
        vec![KeyFile { id: "k1".to_owned(), algorithm: KeyAlgorithm::Hs256, file: file.path().to_owned() }];
    (Identity::new(&config).unwrap(), file)
}

fn signed(claims: &impl serde::Serialize) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn usual() -> Value {
    json!({"sub": "u1", "nickname": "민지", "email": "minji@example.com", "exp": now_s() + 600})
}

#[test]
fn the_claims_of_a_token_are_a_user_within_the_limits_or_are_refused_by_name() {
    let (identity, _file) = identity(IdentityMode::Jwt);
    let claims = prop::collection::vec((select(vec!["sub", "nickname", "email", "picture"]), value()), 0..3);
    holds([], claims, |changed| {
        let mut claims = usual();
        for (claim, value) in changed {
            // What this reader refuses cannot be signed here.
            let Ok(value) = serde_json::from_str::<Value>(&value) else { return Ok(()) };
            claims[claim] = value;
        }
        match identity.of_token(&signed(&claims)) {
            Ok(caller) => {
                let given = |claim: &str| match &claims[claim] {
                    Value::Number(number) => number.to_string(),
                    other => other.as_str().unwrap_or_default().to_owned(),
                };
                prop_assert_eq!(caller.user.id, ondol_text::nfc(&given("sub")).into_owned());
                prop_assert_eq!(caller.user.nickname, ondol_text::name(&given("nickname")).into_owned());
                prop_assert_eq!(caller.user.email, given("email"));
                prop_assert_eq!(caller.user.profile_url.unwrap_or_default(), given("picture"));
            }
            Err(error) => {
                // The library of tokens reads `sub` as well.
                let named = ["user_id", "nickname", "email", "profile_url", "has a claim of the wrong type"];
                let error = error.to_string();
                prop_assert!(error.is_ascii() && named.iter().any(|name| error.contains(name)), "{error}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_token_that_holds_now_ends_later_or_never() {
    let (identity, _file) = identity(IdentityMode::Jwt);
    let numbers = prop_oneof![
        value(),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| Value::from(number).to_string()),
        (-100..100_i64).prop_map(|from_now| (now_s() as i64 + from_now).to_string()),
        (0..64_u32).prop_map(|bits| (1_u64 << bits).to_string()),
        (0..400_u32).prop_map(|zeros| format!("1e{zeros}")),
    ];
    let kept = ["18446744073709551615", "18446744073709551616", "1e19", "1e300", "-1", "null", "\"1\""];
    holds(kept.map(str::to_owned), numbers, |exp| {
        let Ok(exp) = RawValue::from_string(exp) else { return Ok(()) };
        let mut claims: Map<String, Value> = serde_json::from_value(usual()).unwrap();
        claims.remove("exp");
        let mut claims: Vec<(String, Box<RawValue>)> =
            claims.into_iter().map(|(name, value)| (name, serde_json::value::to_raw_value(&value).unwrap())).collect();
        claims.push(("exp".to_owned(), exp.clone()));
        let token = signed(&claims.into_iter().collect::<std::collections::BTreeMap<_, _>>());
        let earliest = SystemTime::now() - Duration::from_secs(1);
        if let Ok(caller) = identity.of_token(&token) {
            prop_assert!(caller.expires.is_none_or(|at| at >= earliest), "{exp}: {:?}", caller.expires);
        }
        Ok(())
    });
}

#[test]
fn a_token_that_was_changed_is_refused() {
    let (identity, _file) = identity(IdentityMode::Jwt);
    let token = signed(&usual());
    assert!(identity.of_token(&token).is_ok());
    let kept = corpus::texts().into_iter().chain([format!("{token}="), format!(" {token}"), token.to_uppercase()]);
    let generated =
        prop_oneof![misspelt(Just(token.clone())), text(), "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}"];
    holds(kept, generated, |changed| {
        let outcome = identity.of_token(&changed);
        prop_assert_eq!(outcome.is_ok(), changed == token);
        if let Err(error) = outcome {
            prop_assert!(matches!(error, IdentityError::Token(_)), "{error}");
        }
        Ok(())
    });
}

#[test]
fn a_token_is_found_wherever_it_may_be_and_two_are_refused() {
    let (identity, _file) = identity(IdentityMode::Jwt);
    let token = signed(&usual());
    const PLACES: &[&str] = &["authorization", "sec-websocket-protocol"];
    let carried = |place: &str, token: &str| match place {
        "authorization" => format!("Bearer {token}"),
        _ => format!("chat.v1, ondol.token, {token}"),
    };
    let other = prop_oneof![misspelt(Just(token.clone())), text(), Just(token.clone())];
    holds([], (select(PLACES), select(PLACES), other), |(place, second, other)| {
        let mut headers = HeaderMap::new();
        let asked = |headers: &HeaderMap| {
            let asked = Asked { method: &Method::GET, path: "/", query: "", headers, peer: [127, 0, 0, 1].into() };
            identity.required(&asked).map(|caller| caller.user.id)
        };
        headers.append(place, HeaderValue::from_str(&carried(place, &token)).unwrap());
        prop_assert_eq!(asked(&headers), Ok("u1".to_owned()));
        let Ok(value) = HeaderValue::from_bytes(carried(second, &other).as_bytes()) else { return Ok(()) };
        headers.append(second, value);
        if let Ok(user) = asked(&headers) {
            prop_assert_eq!(user, "u1");
        }
        Ok(())
    });
}

#[test]
fn an_assertion_holds_for_its_request_and_its_values_alone() {
    let (identity, _file) = identity(IdentityMode::Signed);
    let changes =
        (select(vec!["", "header", "method", "path", "query"]), misspelt(Just("민지".to_owned())), any::<u64>());
    holds([], changes, |(changed, nickname, number)| {
        let expiry = (now_s() + 30).to_string();
        let text = assertion_text("k1", &expiry, "POST", "/chat/v1/message/", ["u1", "민지", "e", ""]);
        let signature = crypto::sign(text.as_bytes(), &EncodingKey::from_secret(SECRET), Algorithm::HS256).unwrap();
        let header = format!("v1.k1.{expiry}.{signature}");
        let given = match changed {
            "header" => change(&header, number),
            _ => header.clone(),
        };
        let mut headers = HeaderMap::new();
        let Ok(value) = HeaderValue::from_str(&given) else { return Ok(()) };
        headers.insert(HeaderName::from_static("x-ondol-assertion"), value);
        let nickname = if changed == "query" { nickname } else { "민지".to_owned() };
        let query = format!(
            "user_id=u1&email=e&nickname={}",
            percent_encoding::utf8_percent_encode(&nickname, percent_encoding::NON_ALPHANUMERIC)
        );
        let method = if changed == "method" { Method::PUT } else { Method::POST };
        let path = if changed == "path" { "/chat/v1/message" } else { "/chat/v1/message/" };
        let asked = Asked { method: &method, path, query: &query, headers: &headers, peer: [127, 0, 0, 1].into() };
        let is_as_signed = given == header && nickname == "민지" && matches!(changed, "" | "header" | "query");
        let outcome = identity.required(&asked);
        prop_assert_eq!(outcome.is_ok(), is_as_signed, "{}: {:?}", given, outcome);
        Ok(())
    });
}

/// A text with one of its characters changed.
fn change(text: &str, number: u64) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = usize::try_from(number).unwrap() % bytes.len();
    bytes[at] = b"-_.0aZ="[usize::try_from(number >> 32).unwrap() % 7];
    String::from_utf8(bytes).unwrap()
}
