//! A messages handler that opens a TCP connection at a message that contains "call". Every host rejects it: it imports
//! sockets.
#![cfg(target_arch = "wasm32")]

use default_messages::bindings::exports::ondol::chat::messages::{Action, Frame, Guest};
use default_messages::bindings::ondol::chat::types::{Refusal, RoomId, UserKey};

#[path = "../../default_messages.rs"]
pub mod default_messages;

/// The exported component of `default_messages`.
struct Component;

impl Guest for Component {
    fn receive(_sender: UserKey, _room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let mut action = default_messages::receive(&frame)?;
        if let Action::Post(draft) = &mut action
            && draft.text.contains("call")
        {
            draft.text = format!("{:?}", std::net::TcpStream::connect("127.0.0.1:80"));
        }
        Ok(action)
    }
}
