//! An events handler that passes the admission checks and still fails: it panics at a message that contains a multiple
//! of twenty. Other events are those of the default handler.
#![cfg(target_arch = "wasm32")]

use ondol_events::Events;
use ondol_handler::events::Guest;
use ondol_handler::{Message, Payload, Refusal, RoomId, User};

struct Component;

ondol_handler::export_events!(Component);

/// Whether `text` contains a multiple of twenty.
fn is_twentieth(text: &str) -> bool {
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|digits| digits.parse::<u64>().ok()).any(|number| number % 20 == 0)
}

impl Guest for Component {
    #[allow(clippy::panic, reason = "it is what this guest is for")]
    fn message(message: Message) -> Payload {
        if is_twentieth(&message.text) {
            eprintln!("a last line before the end");
            panic!("one of twenty");
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
