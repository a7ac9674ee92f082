//! What holds for every event that the host gives the client's own id, and for its own events.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use ondol_inputs::proptest::prelude::*;
use ondol_inputs::{corpus, frame, holds, text, value};
use serde_json::Map;

use super::*;

type Object = Map<String, Value>;

#[test]
fn an_event_keeps_all_that_it_says_and_gets_the_id_as_its_last_member() {
    let kept = corpus::frames().into_iter().map(|payload| (payload, "c-1".to_owned()));
    holds(kept, (prop_oneof![frame(), value()], text()), |(payload, id)| {
        let named = named(payload.clone(), Some(&id));
        let Ok(before) = serde_json::from_str::<Object>(&payload) else {
            prop_assert_eq!(named, payload, "what is no object stays as it is");
            return Ok(());
        };
        let after: Object = serde_json::from_str(&named).unwrap();
        let mut expected = before.clone();
        expected.entry("client_id").or_insert_with(|| id.as_str().into());
        prop_assert_eq!(&after, &expected);
        prop_assert_eq!(after.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "in this order");
        prop_assert_eq!(super::named(payload.clone(), None), payload);
        Ok(())
    });
}

#[test]
fn an_event_of_the_host_is_one_json_object() {
    holds([], (text(), text(), prop::option::of(text()), any::<u64>()), |(message, code, id, ms)| {
        let own: Object = serde_json::from_str(&own_error(&message, &code)).unwrap();
        prop_assert_eq!((&own["message"], &own["code"]), (&message.clone().into(), &code.into()));
        let limited: Object = serde_json::from_str(&rate_limited(&message, id.as_deref(), ms)).unwrap();
        prop_assert_eq!(limited.get("client_id").and_then(Value::as_str), id.as_deref());
        prop_assert_eq!(limited["retry_after_ms"].as_u64(), Some(ms));
        Ok(())
    });
}
