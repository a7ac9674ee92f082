//! A messages handler that sleeps for ten seconds at a message that contains "sleep". At one that contains "snoop" it
//! looks for a file, the environment and its arguments, and posts the result instead of the text. Other frames are read
//! as the default handler reads them.
#![cfg(target_arch = "wasm32")]

use std::time::Duration;

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey};
use ondol_messages::Messages;

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let mut action = Messages::receive(sender, room, frame)?;
        if matches!(&action, Action::Post(draft) if draft.text.contains("sleep")) {
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
