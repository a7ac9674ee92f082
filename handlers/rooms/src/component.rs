//! The glue between the contract in `wit/` and [`naming`](crate::naming): it changes types and decides nothing.

use std::sync::OnceLock;

use crate::naming::{Rules, Standing};
use bindings::exports::ondol::chat::rooms::{self, Guest};
use bindings::ondol::chat::{settings, types};

/// What the world `room-handler` asks for.
struct Rooms;

impl Guest for Rooms {
    fn create(request: rooms::Request) -> Result<rooms::RoomDraft, types::Refusal> {
        let rules = rules();
        let name = rules.name(request.name.as_deref()).map_err(|refusal| types::Refusal {
            code: refusal.code.to_owned(),
            message: refusal.message,
            field: Some("name".to_owned()),
        })?;
        let standing = match rules.standing {
            Standing::Reuse => rooms::Standing::Reuse,
            Standing::Refuse => rooms::Standing::Refuse,
        };
        Ok(rooms::RoomDraft { name, standing })
    }
}

/// The operator's rules, read by the first call and kept: they never change while an instance lives.
#[allow(clippy::panic, reason = "a trap at the host's trial call is how a handler turns settings down")]
fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(|| Rules::read(settings::get).unwrap_or_else(|why| panic!("{why}")))
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
    use super::Rooms;

    wit_bindgen::generate!({ path: "../../wit", world: "room-handler" });
    export!(Rooms);
}
