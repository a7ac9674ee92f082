//! What holds for the client's own id of every frame that is refused.

use ondol_inputs::proptest::prelude::*;
use ondol_inputs::{corpus, frame, holds};
use ondol_messages::json::{self, Value};

use super::*;

#[test]
fn the_host_finds_the_id_that_the_handler_reads() {
    holds(corpus::frames(), frame(), |frame| {
        let found = client_id(Frame::Text(&frame));
        prop_assert_eq!(&found, &client_id(Frame::Body(&frame)));
        prop_assert!(found.as_ref().is_none_or(|id| (1..=CLIENT_ID_CHARS_MAX).contains(&id.chars().count())));
        let Ok(fields) = json::parse(&frame) else { return Ok(()) };
        // One that is given twice is none.
        if fields.repeated.is_some() {
            return Ok(());
        }
        match fields.client_id {
            Value::Text(id) if (1..=CLIENT_ID_CHARS_MAX).contains(&id.chars().count()) => {
                prop_assert_eq!(found.as_deref(), Some(&*id));
            }
            _ => prop_assert_eq!(found, None),
        }
        Ok(())
    });
}
