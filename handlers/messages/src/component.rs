//! The glue between the contract in `wit/` and [`frame`](crate::frame): it changes types and decides nothing.

use std::sync::OnceLock;

use crate::frame::{self, Frame, Limits};
use bindings::exports::ondol::chat::messages::Guest;
use bindings::ondol::chat::{settings, types};

/// What the world `message-handler` asks for.
struct Messages;

impl Guest for Messages {
    fn receive(
        _sender: types::UserKey,
        _room: types::RoomId,
        frame: types::Frame,
    ) -> Result<types::Action, types::Refusal> {
        let frame = match &frame {
            types::Frame::Text(text) => Frame::Text(text),
            types::Frame::Binary(_) => Frame::Binary,
            types::Frame::Body(body) => Frame::Body(body),
        };
        match frame::read(limits(), &frame) {
            Ok(draft) => Ok(types::Action::Post(types::Draft {
                text: draft.text,
                client_id: draft.client_id,
                parent: draft.parent,
                extra: None,
            })),
            Err(refusal) => Err(types::Refusal {
                code: refusal.code.to_owned(),
                message: refusal.message.into_owned(),
                field: refusal.field.map(str::to_owned),
            }),
        }
    }
}

/// The operator's limits, read by the first call and kept: they never change while an instance lives.
#[allow(clippy::panic, reason = "a trap at the host's trial call is how a handler turns settings down")]
fn limits() -> &'static Limits {
    static LIMITS: OnceLock<Limits> = OnceLock::new();
    LIMITS.get_or_init(|| Limits::read(settings::get).unwrap_or_else(|why| panic!("{why}")))
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
    use super::Messages;

    wit_bindgen::generate!({ path: "../../wit", world: "message-handler" });
    export!(Messages);
}
