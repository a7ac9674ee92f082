//! A messages handler that imports two interfaces which no host has: both have to be named.
#![cfg(target_arch = "wasm32")]

use bindings::example::missing::{one, two};
use bindings::exports::ondol::chat::messages::Guest;
use bindings::ondol::chat::types::{Action, Draft, Frame, Refusal, RoomId, UserKey};

struct Needy;

impl Guest for Needy {
    fn receive(_sender: UserKey, _room: RoomId, _frame: Frame) -> Result<Action, Refusal> {
        Ok(Action::Post(Draft {
            text: format!("{} {}", one::count(), two::word()),
            client_id: None,
            parent: None,
            extra: None,
        }))
    }
}

mod bindings {
    #![allow(
        unsafe_code,
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "written by wit-bindgen"
    )]
    use super::Needy;

    wit_bindgen::generate!({
        path: ["../../../wit", "wit"],
        world: "example:missing/needy",
        generate_all,
    });
    export!(Needy);
}
