//! A messages handler that opens a TCP connection at a message that contains "call". Every host rejects it: it imports
//! sockets.
#![cfg(target_arch = "wasm32")]

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey};
use ondol_messages::Messages;

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let mut action = Messages::receive(sender, room, frame)?;
        if let Action::Post(draft) = &mut action
            && draft.text.contains("call")
        {
            draft.text = format!("{:?}", std::net::TcpStream::connect("127.0.0.1:80"));
        }
        Ok(action)
    }
}
