//! What holds for the body of every deploy.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use data_encoding::BASE64;
use ondol_inputs::proptest::prelude::*;
use ondol_inputs::proptest::sample::select;
use ondol_inputs::{holds, misspelt, text, value};

use super::*;

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The text of an object with some of these members.
fn some_of(members: Vec<(&'static str, BoxedStrategy<String>)>) -> BoxedStrategy<String> {
    let members: Vec<_> = members.into_iter().map(|(key, value)| (Just(key), prop::option::of(value))).collect();
    let object = members.prop_map(|members| {
        let given = members.into_iter().filter_map(|(key, value)| Some(format!("{}:{}", quoted(key), value?)));
        format!("{{{}}}", given.collect::<Vec<_>>().join(","))
    });
    object.boxed()
}

/// The body of `POST /v1/releases`, or most of one.
fn release() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        4 => any::<Vec<u8>>().prop_map(|bytes| quoted(&BASE64.encode(&bytes))),
        1 => text().prop_map(|text| quoted(&text)),
        1 => value(),
    ];
    let settings = prop::collection::btree_map("[a-z_]{0,8}", value(), 0..3)
        .prop_map(|settings| {
            let pairs: Vec<String> = settings.iter().map(|(key, value)| format!("{}:{value}", quoted(key))).collect();
            format!("{{{}}}", pairs.join(","))
        })
        .boxed();
    let cases = text().prop_map(|text| quoted(&text)).boxed();
    let part = || {
        some_of(vec![
            ("component", component.clone().boxed()),
            ("settings", settings.clone()),
            ("cases", cases.clone()),
        ])
    };
    let number = prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        (0..200_u8).prop_map(|number| number.to_string()),
        value()
    ];
    let whole = some_of(vec![
        ("rooms", part()),
        ("messages", part()),
        ("events", part()),
        ("percent", number.clone().boxed()),
        ("reason", text().prop_map(|text| quoted(&text)).boxed()),
        ("force", prop_oneof![select(vec!["true", "false"]).prop_map(str::to_owned), value()].boxed()),
        ("slowdown_max", number.boxed()),
    ]);
    prop_oneof![4 => whole.clone(), 1 => misspelt(whole), 1 => value()]
}

#[test]
fn a_deploy_is_read_as_it_was_written_or_is_refused_by_name() {
    let limits = Limits::default();
    holds([], release(), |text| {
        let body: ReleaseBody = match parse(text.as_bytes()) {
            Ok(body) => body,
            Err(error) => {
                prop_assert!(matches!(error, HttpError::Parse(_)), "{error}");
                return Ok(());
            }
        };
        let whole: Value = serde_json::from_str(&text).unwrap();
        for (handler, part) in HandlerKind::ALL.into_iter().zip([body.rooms, body.messages, body.events]) {
            let Some(part) = part else { continue };
            let given = &whole[handler.name()];
            match part.0.read(handler, &limits) {
                Ok(HandlerChange { wasm, settings, cases, .. }) => {
                    let encoded = wasm.map(|wasm| BASE64.encode(&wasm));
                    prop_assert_eq!(encoded.as_deref(), given["component"].as_str());
                    for (key, text) in settings.into_iter().flatten() {
                        let given = &given["settings"][&key];
                        // A text is itself, and anything else its JSON.
                        let same = given.as_str() == Some(&*text)
                            || serde_json::from_str::<Value>(&text).is_ok_and(|read| read == *given);
                        prop_assert!(same, "{key}: {text}, not {given}");
                    }
                    prop_assert_eq!(cases.unwrap_or_default(), given["cases"].as_str().unwrap_or_default());
                }
                Err(HttpError::Field { field, code, message }) => {
                    prop_assert!(field == handler.name() || field == "settings", "{message}");
                    prop_assert!(matches!(code, "invalid" | "required"), "{code}");
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        if let Ok(asked) = slowness([body.slowdown_max, None, None]) {
            prop_assert!(asked.slowdown_max.is_none_or(|times| (2..=1_000).contains(&times)), "{asked:?}");
        }
        Ok(())
    });
}

#[test]
fn a_version_is_named_by_its_first_digits_alone() {
    let digits = prop_oneof![misspelt("[0-9a-fA-F]{0,70}"), text()];
    holds([], digits, |digits| {
        let hexadecimal = digits.chars().all(|digit| digit.is_ascii_hexdigit());
        prop_assert_eq!(is_version(&digits), hexadecimal && (4..=64).contains(&digits.len()));
        Ok(())
    });
}
