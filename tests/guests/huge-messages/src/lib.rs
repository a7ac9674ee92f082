//! A messages handler that relays a payload of 100 MB at a message that contains "huge". Other frames are read as the
//! default handler reads them.
#![cfg(target_arch = "wasm32")]

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey};
use ondol_messages::Messages;

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let action = Messages::receive(sender, room, frame)?;
        if matches!(&action, Action::Post(draft) if draft.text.contains("huge")) {
            return Ok(Action::Relay("x".repeat(100_000_000)));
        }
        Ok(action)
    }
}
