//! Middleware for two commands at the beginning of a message: `/me` marks it as what its sender does, and `/shrug` ends it
//! with a shrug.

const SHRUG: &str = r"¯\_(ツ)_/¯";

/// The message's text and what is stored with it, after its command.
#[must_use]
pub fn run(text: &str) -> Option<(String, Option<String>)> {
    let (command, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    match command {
        "/me" if !rest.is_empty() => Some((rest.to_owned(), Some(r#"{"me":true}"#.to_owned()))),
        "/shrug" => Some((format!("{rest} {SHRUG}").trim_start().to_owned(), None)),
        _ => None,
    }
}

#[cfg(target_arch = "wasm32")]
mod component {
    use bindings::exports::ondol::chat::messages::Guest;
    use bindings::ondol::chat::messages;
    use bindings::ondol::chat::types::{Action, Draft, Frame, Refusal, RoomId, UserKey};

    struct Component;

    impl Guest for Component {
        fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
            let action = messages::receive(sender, room, &frame)?;
            let Action::Post(draft) = action else { return Ok(action) };
            Ok(Action::Post(match super::run(&draft.text) {
                Some((text, extra)) => Draft { text, extra: extra.or(draft.extra), ..draft },
                None => draft,
            }))
        }
    }

    mod bindings {
        #![allow(
            unsafe_code,
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::allow_attributes_without_reason,
            reason = "written by wit-bindgen"
        )]
        use super::Component;

        wit_bindgen::generate!({ path: "../../../wit", world: "message-middleware" });
        export!(Component);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_stands_at_the_beginning_and_alone() {
        let me = Some(r#"{"me":true}"#.to_owned());
        assert_eq!(run("/me waves"), Some(("waves".to_owned(), me)));
        assert_eq!(run("/shrug"), Some((SHRUG.to_owned(), None)));
        assert_eq!(run("/shrug why not"), Some((format!("why not {SHRUG}"), None)));
        for text in ["/me", "/mean it", "say /me", "", "/shrugged"] {
            assert_eq!(run(text), None, "{text}");
        }
    }
}
