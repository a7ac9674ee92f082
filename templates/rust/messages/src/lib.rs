//! Refuses messages with a word of the setting `words`, which separates them by commas. The default handler reads the
//! frames.

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey, settings};
use ondol_messages::Messages;

struct Filter;

ondol_handler::export_messages!(Filter);

impl Guest for Filter {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let action = Messages::receive(sender, room, frame)?;
        let words = settings::get("words").unwrap_or_default();
        match &action {
            Action::Post(draft) if contains(&draft.text, &words) => {
                Err(Refusal::new("word", "The message contains a word that is not welcome here.").at("message"))
            }
            _ => Ok(action),
        }
    }
}

/// Whether a text contains one of these words, whatever their case.
fn contains(text: &str, words: &str) -> bool {
    let text = text.to_lowercase();
    words.split(',').map(|word| word.trim().to_lowercase()).any(|word| !word.is_empty() && text.contains(&word))
}

#[cfg(test)]
mod tests {
    use ondol_handler::testing;

    use super::*;

    fn says(text: &str) -> Result<Action, Refusal> {
        let sender = testing::add_user(testing::named("민지"));
        Filter::receive(sender, 1, Frame::Text(format!(r#"{{"type":"chat.message","message":"{text}"}}"#)))
    }

    #[test]
    fn a_word_of_the_setting_is_refused() {
        testing::set("words", "damn, 바보");
        assert_eq!(says("DAMN it").unwrap_err().code, "word");
        assert!(matches!(says("안녕"), Ok(Action::Post(draft)) if draft.text == "안녕"));
    }
}
