//! What holds for every body, whatever its fields.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use ondol_inputs::proptest::prelude::*;
use ondol_inputs::{body, corpus, holds, value};
use ondol_messages::frame::{Frame, Limits, read};
use serde_json::{Map, json};

use super::*;

#[test]
fn the_host_reads_every_body_that_the_handler_takes_and_no_field_in_another_way() {
    holds(corpus::frames(), body(), |text| {
        // The host takes the mark away before it hands the body on.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let taken = read(&Limits::default(), &Frame::Body(text));
        let fields = match Fields::parse(text) {
            Ok(fields) => fields,
            Err(error) => {
                prop_assert!(taken.is_err() && matches!(error, HttpError::Parse(_)), "{error}");
                return Ok(());
            }
        };
        let whole = serde_json::from_str::<Map<String, Value>>(text);
        for field in ["room", "name", "post_id", "message", "client_id", "parent"] {
            match (fields.get(field), &whole) {
                (Ok(found), Ok(whole)) => prop_assert_eq!(found.as_ref(), whole.get(field)),
                (Ok(_), Err(_)) => {}
                (Err(HttpError::Field { field: at, code, message }), _) => {
                    prop_assert!(at == field && matches!(code, "duplicate_key" | "invalid"), "{message}");
                    prop_assert!(taken.is_err() || !matches!(field, "message" | "client_id" | "parent"), "{message}");
                }
                (Err(other), _) => prop_assert!(false, "{other}"),
            }
        }
        Ok(())
    });
}

#[test]
fn a_whole_number_is_the_same_in_each_of_its_forms() {
    let number = prop_oneof![any::<u64>(), 0..1_u64 << 53, (0..64_u32).prop_map(|bits| (1_u64 << bits) - 1)];
    holds([0, 1, 1 << 53, (1 << 53) + 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX], number, |number| {
        let expected = i64::try_from(number).is_ok().then_some(number);
        prop_assert_eq!(whole(&json!(number)), expected);
        prop_assert_eq!(whole(&json!(number.to_string())), expected);
        prop_assert_eq!(whole(&json!(format!("00{number}"))), expected);
        // A double says which number it means up to 2^53.
        let as_double = serde_json::from_str(&format!("{number}.0")).unwrap();
        prop_assert!(number > 1 << 53 || whole(&as_double) == Some(number), "{as_double}");
        Ok(())
    });
}

#[test]
fn what_is_no_whole_number_is_none() {
    holds([], value(), |text| {
        let Ok(value) = serde_json::from_str::<Value>(&text) else { return Ok(()) };
        if let Some(number) = whole(&value) {
            let read = match &value {
                Value::String(text) => text.parse::<u128>().ok(),
                other => other.as_f64().map(|number| number as u128),
            };
            let differs = read.map(|read| read.abs_diff(u128::from(number)));
            // A double has 53 bits of a number.
            prop_assert!(differs.is_some_and(|differs| differs <= u128::from(number) >> 53), "{text}: {number}");
        }
        Ok(())
    });
}
