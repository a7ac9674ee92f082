//! Shows `:ondol:` in messages as ♨, or as the setting `emoji`. The other events are those of the default handler.

use ondol_events::Events;
use ondol_handler::events::Guest;
use ondol_handler::{Message, Payload, Refusal, RoomId, User, settings};

struct Emoji;

ondol_handler::export_events!(Emoji);

impl Guest for Emoji {
    fn message(mut message: Message) -> Payload {
        let emoji = settings::get("emoji").unwrap_or_else(|| "♨".to_owned());
        message.text = shown(&message.text, &emoji);
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

/// The text as members see it.
fn shown(text: &str, emoji: &str) -> String {
    text.replace(":ondol:", emoji)
}

#[cfg(test)]
mod tests {
    use ondol_handler::testing;

    use super::*;

    #[test]
    fn ondol_is_shown_as_the_emoji_of_the_setting() {
        testing::set("emoji", "🔥");
        let message = Message {
            id: 1,
            room: 1,
            seq: 1,
            sender: testing::add_user(testing::named("민지")),
            text: "a warm :ondol:".to_owned(),
            client_id: None,
            parent: None,
            extra: None,
            created_at: 0,
        };
        let payload = Emoji::message(message);
        assert!(payload.contains("a warm 🔥"), "{payload}");
    }
}
