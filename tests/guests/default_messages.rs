//! Shared by the guests that read messages: the bindings, and the default handler's answer to a frame, with the default
//! settings.
//!
//! The default handler's files are included by path. A dependency on its crate would bring that component's exports
//! along, and a component can have them only once.

use bindings::ondol::chat::types::{Action, Draft, Frame, Refusal};

#[path = "../../handlers/messages/src/frame.rs"]
pub mod frame;
#[path = "../../handlers/messages/src/json.rs"]
pub mod json;

/// The default handler's answer to `frame`.
///
/// # Errors
/// The default handler's refusals.
pub fn receive(frame: &Frame) -> Result<Action, Refusal> {
    let frame = match frame {
        Frame::Text(text) => frame::Frame::Text(text),
        Frame::Binary(_) => frame::Frame::Binary,
        Frame::Body(body) => frame::Frame::Body(body),
    };
    match frame::read(&frame::Limits::default(), &frame) {
        Ok(draft) => {
            Ok(Action::Post(Draft { text: draft.text, client_id: draft.client_id, parent: draft.parent, extra: None }))
        }
        Err(refusal) => Err(Refusal {
            code: refusal.code.to_owned(),
            message: refusal.message.into_owned(),
            field: refusal.field.map(str::to_owned),
        }),
    }
}

/// Whether the posted message contains `word`.
#[must_use]
pub fn says(action: &Action, word: &str) -> bool {
    matches!(action, Action::Post(draft) if draft.text.contains(word))
}

/// The world `message-handler`, exported by the `Component` at the root of each guest.
pub mod bindings {
    #![allow(
        unsafe_code,
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "written by wit-bindgen"
    )]
    use crate::Component;

    wit_bindgen::generate!({ path: "../../../wit", world: "message-handler" });
    export!(Component);
}
