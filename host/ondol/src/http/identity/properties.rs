//! What holds for every identity in a query or in headers: its limits, that both places are judged alike, and that two values
//! are refused.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method};
use ondol_inputs::proptest::prelude::*;
use ondol_inputs::proptest::sample::select;
use ondol_inputs::proptest::test_runner::TestCaseResult;
use ondol_inputs::{corpus, holds, misspelt, text};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Asked, Identity, IdentityError};
use crate::config::{Config, Limits};
use ondol_host_model::User;

/// The key of each value in the query, and its header.
const KEYS: [(&str, &str); 4] =
    [("user_id", "X-User-ID"), ("nickname", "X-Nickname"), ("email", "X-Email"), ("profile_url", "X-Profile-URL")];

/// What a query cannot hold as it is, apart from what has a meaning there.
const LITTLE: &AsciiSet = &CONTROLS.add(b'%').add(b'&').add(b'=').add(b'+').add(b' ').add(b'#');

/// What encoders encode: all but the unreserved characters (RFC 3986, section 2.3).
const USUAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn required(query: &str, headers: &HeaderMap) -> Result<User, IdentityError> {
    let identity = Identity::new(&Config::default()).unwrap();
    let asked = Asked { method: &Method::GET, path: "/", query, headers, peer: [127, 0, 0, 1].into() };
    identity.required(&asked).map(|caller| caller.user)
}

/// The values of an identity, most of them usable. None: it is not given.
fn values() -> impl Strategy<Value = [Option<String>; 4]> {
    let value = |usual: &'static str| prop_oneof![4 => select(vec![usual, "7", "민지", "Việt"]).prop_map(|text| Some(text.to_owned())), 4 => text().prop_map(Some), 1 => Just(None)];
    let url = prop_oneof![3 => Just(None), 1 => "(https?|HTTPS|ftp|javascript)://[a-z/?.]{0,12}".prop_map(Some), 1 => value("/a.png")];
    (value("u1"), value("민지 Kim"), value("minji+chat@example.com"), url)
        .prop_map(|(id, nickname, email, url)| [id, nickname, email, url])
}

fn query(values: &[Option<String>; 4], encoded: &'static AsciiSet) -> String {
    let pairs = KEYS.iter().zip(values).filter_map(|((key, _), value)| Some((key, value.as_ref()?)));
    let pairs: Vec<String> =
        pairs.map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, encoded))).collect();
    pairs.join("&")
}

fn headers(values: &[Option<String>; 4]) -> HeaderMap {
    let pairs = KEYS.iter().zip(values).filter_map(|((_, header), value)| Some((header, value.as_ref()?)));
    pairs.fold(HeaderMap::new(), |mut headers, (header, value)| {
        let value = utf8_percent_encode(value, USUAL).to_string();
        let name = HeaderName::from_bytes(header.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(&value).unwrap());
        headers
    })
}

/// What an outcome says, wherever the values came from.
fn judged(outcome: Result<User, IdentityError>) -> Result<User, String> {
    outcome.map_err(|error| {
        let error = error.to_string();
        KEYS.iter().fold(error, |error, (key, header)| error.replace(header, key))
    })
}

/// An accepted user is within its limits; a refusal names the value at fault and repeats none.
fn check(outcome: &Result<User, IdentityError>) -> TestCaseResult {
    let User { id, nickname, email, profile_url } = match outcome {
        Ok(user) => user,
        Err(error) => {
            let error = error.to_string();
            prop_assert!(error.is_ascii() && error.len() < 200, "{error}");
            let names = KEYS.iter().any(|(key, header)| error.contains(key) || error.contains(header));
            prop_assert!(names, "{error}");
            return Ok(());
        }
    };
    let limits = Limits::default();
    let url = profile_url.as_deref().unwrap_or("/");
    for (value, chars_max) in [
        (id.as_str(), limits.user_id_chars_max),
        (nickname, limits.nickname_chars_max),
        (email, limits.email_chars_max),
        (url, limits.profile_url_chars_max),
    ] {
        prop_assert!(!ondol_text::is_longer(value, chars_max) && !ondol_text::is_blank(value), "{value:?}");
        prop_assert!(!value.contains(char::is_control), "{value:?}");
    }
    prop_assert_eq!(ondol_text::nfc(id), id.as_str());
    prop_assert_eq!(ondol_text::name(nickname), nickname.as_str());
    let scheme = url.to_ascii_lowercase();
    prop_assert!(["/", "http://", "https://"].iter().any(|start| scheme.starts_with(start)), "{url:?}");
    Ok(())
}

#[test]
fn a_query_holds_a_user_within_the_limits_or_is_refused_by_name() {
    let generated = prop_oneof![
        4 => values().prop_map(|values| query(&values, LITTLE)),
        2 => misspelt(select(corpus::queries())),
        2 => misspelt(values().prop_map(|values| query(&values, USUAL))),
        1 => text(),
    ];
    holds(corpus::queries(), generated, |query| check(&required(&query, &HeaderMap::new())));
}

#[test]
fn headers_hold_a_user_within_the_limits_or_are_refused_by_name() {
    let value = prop_oneof![any::<Vec<u8>>(), text().prop_map(String::into_bytes)];
    let name = select(vec!["x-user-id", "x-nickname", "x-email", "x-profile-url", "x_email", "x-ondol-assertion"]);
    holds([], prop::collection::vec((name, value), 0..6), |pairs| {
        let mut headers = headers(
            &["u1", "a", "e"]
                .map(|value| Some(value.to_owned()))
                .into_iter()
                .chain([None])
                .collect::<Vec<_>>()
                .try_into()
                .unwrap(),
        );
        for (name, value) in pairs {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(name, value);
            }
        }
        check(&required("", &headers))
    });
}

#[test]
fn query_and_headers_are_judged_alike() {
    holds([], values(), |values| {
        let in_query = required(&query(&values, USUAL), &HeaderMap::new());
        let in_headers = required("", &headers(&values));
        check(&in_query)?;
        prop_assert_eq!(judged(in_query), judged(in_headers.clone()));
        let in_both = required(&query(&values, LITTLE), &headers(&values));
        prop_assert_eq!(judged(in_both), judged(in_headers));
        Ok(())
    });
}

#[test]
fn a_raw_header_is_the_encoded_one() {
    holds(corpus::texts(), text(), |nickname| {
        let Ok(raw) = HeaderValue::from_bytes(nickname.as_bytes()) else { return Ok(()) };
        let values = [Some("u1".to_owned()), Some(nickname.clone()), Some("e".to_owned()), None];
        let encoded = headers(&values);
        let mut plain = encoded.clone();
        plain.insert("x-nickname", raw);
        // A text that encoders write is decoded, so a raw one may not be one.
        if !nickname.contains('%') {
            prop_assert_eq!(required("", &plain), required("", &encoded));
        }
        Ok(())
    });
}

#[test]
fn a_value_that_is_given_twice_is_refused_however_its_key_is_written() {
    let key = (0..4_usize, any::<u16>(), any::<bool>());
    holds([], (values(), key, text()), |(mut values, (at, bits, lower), other)| {
        let (key, header) = KEYS[at];
        values[at].get_or_insert_with(|| "/a".to_owned());
        let once = query(&values, LITTLE);
        let written: String = key
            .chars()
            .enumerate()
            .map(|(place, c)| match bits >> place & 1 {
                0 => c.to_string(),
                _ if lower => format!("%{:02x}", c as u32),
                _ => format!("%{:02X}", c as u32),
            })
            .collect();
        let other = utf8_percent_encode(&other, USUAL).to_string();
        for query in
            [format!("{once}&{written}={other}"), format!("{written}={other}&{once}"), format!("{once}&{written}")]
        {
            // Another value may be refused first, but none is chosen.
            prop_assert!(required(&query, &HeaderMap::new()).is_err(), "{query}");
        }
        let mut doubled = headers(&values);
        doubled.append(HeaderName::from_bytes(header.as_bytes()).unwrap(), HeaderValue::from_str(&other).unwrap());
        prop_assert!(required("", &doubled).is_err());
        let mut twin = headers(&values);
        let name = header.to_ascii_lowercase().replace('-', "_");
        twin.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(&other).unwrap());
        prop_assert!(required("", &twin).is_err());
        Ok(())
    });
}

#[test]
fn values_that_differ_between_query_and_headers_are_refused() {
    holds([], (values(), values()), |(one, other)| {
        let alike = |one: &Option<String>, other: &Option<String>| {
            one.as_deref().map(ondol_text::nfc) == other.as_deref().map(ondol_text::nfc)
        };
        let differ = one.iter().zip(&other).any(|(one, other)| !alike(one, other));
        let given = |values: &[Option<String>; 4]| values.iter().any(Option::is_some);
        if differ && given(&one) && given(&other) {
            prop_assert!(required(&query(&one, LITTLE), &headers(&other)).is_err());
        }
        Ok(())
    });
}

#[test]
fn other_keys_of_a_query_change_nothing() {
    let other = ("[a-z]{1,4}|%|%5f|user-id|User_id|user_id_", text());
    holds([], (values(), prop::collection::vec(other, 0..3)), |(values, others)| {
        let plain = query(&values, LITTLE);
        let others: Vec<String> =
            others.iter().map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, LITTLE))).collect();
        let mixed = format!("{}&{plain}&{}", others.join("&"), others.join("&"));
        prop_assert_eq!(required(&plain, &HeaderMap::new()), required(&mixed, &HeaderMap::new()));
        Ok(())
    });
}
