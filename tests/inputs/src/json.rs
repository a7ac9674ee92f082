//! JSON as clients write it: the keys that the API knows and others, given once or twice, in any order and with any values.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::corpus;
use crate::text::{misspelt, text};

/// Numbers in their own spelling, which a parser may take in one way or another.
const NUMBERS: [&str; 18] = [
    "0",
    "-0",
    "-0.0",
    "1",
    "7",
    "7.0",
    "-1",
    "1.5",
    "1e2",
    "1e-1",
    "100",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999999",
];

/// A JSON text of one value.
pub fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => text().prop_map(|text| escaped(&text)),
        3 => select(NUMBERS.as_slice()).prop_map(str::to_owned),
        1 => any::<f64>().prop_map(|number| Value::from(number).to_string()),
        1 => select(vec!["null", "true", "false", "[]", "{}", r#""\ud83d""#, r#""\u0000""#, r#""7""#]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((text(), inner), 0..4)
                .prop_map(|pairs| object(pairs.iter().map(|(key, value)| (escaped(key), value.as_str())))),
        ]
    })
}

/// A frame of a WebSocket: a message, most of one, or what was one.
pub fn frame() -> impl Strategy<Value = String> {
    let kind = prop_oneof![8 => Just(r#""chat.message""#.to_owned()), 1 => value()];
    members(vec![("type", kind.boxed()), ("message", said()), ("client_id", named()), ("parent", number())])
}

/// The body of a request that sends a message or creates a room.
pub fn body() -> impl Strategy<Value = String> {
    members(vec![
        ("message", said()),
        ("room", number()),
        ("client_id", named()),
        ("parent", number()),
        ("name", said()),
        ("post_id", number()),
    ])
}

fn said() -> BoxedStrategy<String> {
    prop_oneof![4 => text().prop_map(|text| escaped(&text)), 1 => value()].boxed()
}

fn named() -> BoxedStrategy<String> {
    prop_oneof![2 => "[a-z]{1,66}".prop_map(|id| escaped(&id)), 2 => text().prop_map(|text| escaped(&text)), 1 => value()].boxed()
}

fn number() -> BoxedStrategy<String> {
    prop_oneof![3 => select(NUMBERS.as_slice()).prop_map(str::to_owned), 1 => any::<u64>().prop_map(|number| number.to_string()), 1 => value()].boxed()
}

/// An object with most of these members and some others, in any order, now and then one of them twice, and now and then broken.
fn members(known: Vec<(&'static str, BoxedStrategy<String>)>) -> impl Strategy<Value = String> {
    let known: Vec<_> = known.into_iter().map(|(key, value)| (Just(key.to_owned()), value, times(key))).collect();
    let others = prop::collection::vec((text(), value()), 0..2);
    let whole = (known, others, any::<bool>()).prop_perturb(|(known, others, padded), mut random| {
        let mut pairs = Vec::new();
        for (key, value, times) in known {
            pairs.extend((0..times).map(|_| (escaped(&key), value.clone())));
        }
        pairs.extend(others.into_iter().map(|(key, value)| (escaped(&key), value)));
        for at in (1..pairs.len()).rev() {
            pairs.swap(at, random.random_range(0..=at));
        }
        let object = object(pairs.iter().map(|(key, value)| (key.clone(), value.as_str())));
        if padded { format!(" \n{object}\t") } else { object }
    });
    let whole = whole.boxed();
    prop_oneof![
        8 => whole.clone(),
        2 => misspelt(whole),
        1 => misspelt(select(corpus::frames())),
        1 => text(),
    ]
}

/// How often a key is given: one that a message needs usually once, another one less often.
fn times(key: &str) -> BoxedStrategy<usize> {
    let missing = if matches!(key, "client_id" | "parent" | "post_id") { 20 } else { 1 };
    prop_oneof![missing => Just(0), 12 => Just(1), 1 => Just(2)].boxed()
}

fn object<'a>(pairs: impl Iterator<Item = (String, &'a str)>) -> String {
    let members: Vec<String> = pairs.map(|(key, value)| format!("{key}:{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn escaped(text: &str) -> String {
    Value::from(text).to_string()
}
