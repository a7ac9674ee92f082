//! A messages handler that sleeps for ten seconds at a message that contains "sleep". At one that contains "snoop" it
//! looks for a file, the environment and its arguments, and posts the result instead of the text. Other frames are read
//! as the default handler reads them.
#![cfg(target_arch = "wasm32")]

use std::time::Duration;

use default_messages::bindings::exports::ondol::chat::messages::{Action, Frame, Guest};
use default_messages::bindings::ondol::chat::types::{Refusal, RoomId, UserKey};

#[path = "../../default_messages.rs"]
pub mod default_messages;

/// The exported component of `default_messages`.
struct Component;

impl Guest for Component {
    fn receive(_sender: UserKey, _room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let mut action = default_messages::receive(&frame)?;
        if default_messages::says(&action, "sleep") {
            std::thread::sleep(Duration::from_secs(10));
        }
        if let Action::Post(draft) = &mut action
            && draft.text.contains("snoop")
        {
            draft.text = snoop();
        }
        Ok(action)
    }
}

/// The findings about the machine: none, in a safe sandbox.
fn snoop() -> String {
    let file = match std::fs::read_to_string("/etc/hostname") {
        Ok(name) => format!("read {name:?}"),
        Err(why) => format!("refused ({why})"),
    };
    let variables = std::env::vars_os().count();
    let arguments = std::env::args_os().count();
    format!("file: {file}; variables: {variables}; arguments: {arguments}")
}
