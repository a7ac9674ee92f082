//! A messages handler that refuses a text of the form `refuse CODE` with that code, and leaves everything else to the
//! default handler.
#![cfg(target_arch = "wasm32")]

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey};
use ondol_messages::Messages;

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        match &frame {
            Frame::Text(text) if text.starts_with("refuse ") => {
                Err(Refusal::new(text.trim_start_matches("refuse "), "As you wish."))
            }
            _ => Messages::receive(sender, room, frame),
        }
    }
}
