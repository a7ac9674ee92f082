//! The glue between the contract in `wit/` and [`naming`](crate::naming): it changes types and decides nothing.

use std::sync::OnceLock;

use ondol_handler::rooms::{self, Guest};
use ondol_handler::{Refusal, settings};

use crate::naming::{Rules, Standing};

/// The handler, under the settings of the component that it is a part of.
#[derive(Debug)]
pub struct Rooms;

#[cfg(feature = "component")]
ondol_handler::export_rooms!(Rooms);

impl Guest for Rooms {
    fn create(request: rooms::Request) -> Result<rooms::RoomDraft, Refusal> {
        let rules = rules();
        let name = rules.name(request.name.as_deref());
        let name = name.map_err(|refusal| Refusal::new(refusal.code, refusal.message).at("name"))?;
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
