//! A messages handler that appends the setting `mark` to each text, after a space.
#![cfg(target_arch = "wasm32")]

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey, settings};
use ondol_messages::Messages;

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let mut action = Messages::receive(sender, room, frame)?;
        if let Action::Post(draft) = &mut action
            && let Some(mark) = settings::get("mark")
        {
            draft.text = format!("{} {mark}", draft.text);
        }
        Ok(action)
    }
}
