//! An events handler that panics at a message that contains "trap", in the words of the message if it has markup, and prints a
//! line to each of stdout and stderr at one that contains "print". Its events are those of the default handler.
#![cfg(target_arch = "wasm32")]

use ondol_events::Events;
use ondol_handler::events::Guest;
use ondol_handler::{Message, Payload, Refusal, RoomId, User};

struct Component;

ondol_handler::export_events!(Component);

impl Guest for Component {
    #[allow(clippy::panic, reason = "it is what this guest is for")]
    fn message(message: Message) -> Payload {
        if message.text.contains("print") {
            println!("a line for stdout");
            eprintln!("a line for stderr");
        }
        if message.text.contains("trap") {
            let words = if message.text.contains('<') { &*message.text } else { "the trap that was asked for" };
            panic!("{words}");
        }
        Events::message(message)
    }

    fn join(room: RoomId, user: User) -> Option<Payload> {
        Events::join(room, user)
    }

    fn leave(room: RoomId, user: User) -> Option<Payload> {
        Events::leave(room, user)
    }

    fn refusal(refusal: Refusal) -> Payload {
        Events::refusal(refusal)
    }
}
