//! All three handlers, built against a copy of the contract that never changes (`wit/` beside this file). A host that
//! refuses it breaks every component that is in use.
#![cfg(target_arch = "wasm32")]

use bindings::exports::ondol::chat::events::{self, Accepted, Payload, Refused};
use bindings::exports::ondol::chat::messages::{self, Action, Draft, Frame};
use bindings::exports::ondol::chat::rooms::{self, Request, RoomDraft, Standing};
use bindings::ondol::chat::types::{Refusal, RoomId, User, UserKey};
use bindings::ondol::chat::{settings, users};

struct Frozen;

impl rooms::Guest for Frozen {
    fn create(request: Request) -> Result<RoomDraft, Refusal> {
        let Some(name) = request.name else {
            return Err(refusal("no_name", Some("name")));
        };
        Ok(RoomDraft { name, standing: Standing::Reuse })
    }
}

impl messages::Guest for Frozen {
    fn receive(sender: UserKey, _room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        match frame {
            Frame::Text(text) if text == r#""typing""# => Ok(Action::Relay(quoted(&users::get(sender).nickname))),
            Frame::Text(text) | Frame::Body(text) => {
                let text = format!("{}{text}", settings::get("greeting").unwrap_or_default());
                Ok(Action::Post(Draft { text, client_id: None, parent: None, extra: Some("{}".to_owned()) }))
            }
            Frame::Binary(_) => Err(refusal("binary", None)),
        }
    }
}

impl events::Guest for Frozen {
    fn message(message: Accepted) -> Payload {
        format!(
            r#"{{"seq":{},"text":{},"by":{}}}"#,
            message.seq,
            quoted(&message.text),
            quoted(&users::get(message.sender).id)
        )
    }

    fn join(_room: RoomId, user: User) -> Option<Payload> {
        Some(quoted(&user.nickname))
    }

    fn leave(_room: RoomId, _user: User) -> Option<Payload> {
        None
    }

    fn refusal(refused: Refused) -> Payload {
        quoted(&refused.code)
    }
}

fn refusal(code: &str, field: Option<&str>) -> Refusal {
    Refusal { code: code.to_owned(), message: format!("Refused: {code}."), field: field.map(str::to_owned) }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
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
    use super::Frozen;

    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package ondol:frozen;

            world all {
                import ondol:chat/settings@0.2.0;
                import ondol:chat/users@0.2.0;
                export ondol:chat/rooms@0.2.0;
                export ondol:chat/messages@0.2.0;
                export ondol:chat/events@0.2.0;
            }
        ",
        world: "ondol:frozen/all",
        generate_all,
    });
    export!(Frozen);
}
