//! The glue between the contract in `wit/` and [`frame`](crate::frame): it changes types and decides nothing.

use std::sync::OnceLock;

use ondol_handler::messages::{self, Action, Guest};
use ondol_handler::{Refusal, RoomId, UserKey, settings};

use crate::frame::{self, Frame, Limits};

/// The handler, under the settings of the component that it is a part of.
#[derive(Debug)]
pub struct Messages;

#[cfg(feature = "component")]
ondol_handler::export_messages!(Messages);

impl Guest for Messages {
    fn receive(_sender: UserKey, _room: RoomId, frame: messages::Frame) -> Result<Action, Refusal> {
        let frame = match &frame {
            messages::Frame::Text(text) => Frame::Text(text),
            messages::Frame::Binary(_) => Frame::Binary,
            messages::Frame::Body(body) => Frame::Body(body),
        };
        match frame::read(limits(), &frame) {
            Ok(draft) => Ok(Action::Post(messages::Draft {
                text: draft.text,
                client_id: draft.client_id,
                parent: draft.parent,
                extra: None,
            })),
            Err(refusal) => Err(Refusal {
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
