//! Shows `:)` in messages as 🙂, or as the setting `smile`. The handler behind it reads the frames.

use ondol_handler::middleware::{self, Guest};
use ondol_handler::{Action, Draft, Frame, Refusal, RoomId, UserKey, settings};

struct Smile;

ondol_handler::export_middleware!(Smile);

impl Guest for Smile {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        // What the handler behind it would do …
        let action = middleware::behind(sender, room, &frame)?;
        let Action::Post(draft) = action else { return Ok(action) };
        // … with another text.
        let smile = settings::get("smile").unwrap_or_else(|| "🙂".to_owned());
        Ok(Action::Post(Draft { text: draft.text.replace(":)", &smile), ..draft }))
    }
}

#[cfg(test)]
mod tests {
    use ondol_handler::testing;

    use super::*;

    #[test]
    fn a_smile_is_shown_as_the_setting() {
        testing::set("smile", "😀");
        testing::set_behind(|_, _, frame| match frame {
            Frame::Text(text) => {
                Ok(Action::Post(Draft { text: text.clone(), client_id: None, parent: None, extra: None }))
            }
            _ => Ok(Action::Ignore),
        });
        let action = Smile::receive(testing::add_user(testing::named("민지")), 1, Frame::Text("hi :)".to_owned()));
        assert!(matches!(action, Ok(Action::Post(draft)) if draft.text == "hi 😀"));
    }
}
