//! What a handler for Ondol is written with in Rust: the types of the contract in `wit/`, an `export_…!` macro for each
//! handler, and doubles of what the host offers, so that `cargo test` runs a handler natively.
//!
//! ```
//! use ondol_handler::rooms::{Guest, Request, RoomDraft, Standing};
//! use ondol_handler::{Refusal, settings};
//!
//! struct Rooms;
//!
//! impl Guest for Rooms {
//!     fn create(request: Request) -> Result<RoomDraft, Refusal> {
//!         let mark = settings::get("mark").unwrap_or_else(|| "♨".to_owned());
//!         let name = request.name.ok_or_else(|| Refusal::new("missing", "A room needs a name.").at("name"))?;
//!         Ok(RoomDraft { name: format!("{mark} {name}"), standing: Standing::Reuse })
//!     }
//! }
//!
//! ondol_handler::export_rooms!(Rooms);
//!
//! ondol_handler::testing::set("mark", "*");
//! let room = Rooms::create(Request { name: Some("lobby".to_owned()), post_id: None, creator: None });
//! assert_eq!(room.map(|room| room.name), Ok("* lobby".to_owned()));
//! ```
//!
//! A macro exports a component, and a component has its exports only once: a crate that others depend on calls it behind
//! a Cargo feature.

mod export;
mod refusal;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[doc(hidden)]
#[rustfmt::skip]
#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    clippy::panic,
    reason = "written by wit-bindgen"
)]
pub mod bindings {
    pub mod events;
    pub mod messages;
    pub mod middleware;
    pub mod rooms;
}

pub use bindings::messages::ondol::chat::types::{
    Action, Draft, Frame, Message, MessageId, Payload, Refusal, RoomId, Seq, Timestamp, User, UserKey,
};

/// Decides on new rooms: the handler that [`export_rooms!`] exports.
pub mod rooms {
    pub use crate::bindings::rooms::exports::ondol::chat::rooms::{Guest, Request, RoomDraft, Standing};
}

/// Reads frames from clients: the handler that [`export_messages!`] exports.
pub mod messages {
    pub use crate::bindings::messages::exports::ondol::chat::messages::Guest;
    pub use crate::{Action, Draft, Frame};
}

/// Receives frames in front of a messages handler: the middleware that [`export_middleware!`] exports.
pub mod middleware {
    pub use crate::bindings::middleware::exports::ondol::chat::messages::Guest;
    use crate::{Action, Frame, Refusal, RoomId, UserKey};

    /// What the handler behind this one does with a frame.
    ///
    /// Natively it is what the test has [put there](crate::testing::set_behind).
    ///
    /// # Errors
    ///
    /// Its refusals.
    #[inline]
    pub fn behind(sender: UserKey, room: RoomId, frame: &Frame) -> Result<Action, Refusal> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::middleware::ondol::chat::messages::receive(sender, room, frame);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::behind(sender, room, frame)
    }
}

/// Writes events for clients: the handler that [`export_events!`] exports.
pub mod events {
    pub use crate::bindings::events::exports::ondol::chat::events::Guest;
}

/// The operator's settings for this handler.
pub mod settings {
    /// The value of `key`. None if the operator has not set it. It stays the same for the life of an instance.
    ///
    /// Natively it is what the test has [set](crate::testing::set).
    #[must_use]
    #[inline]
    pub fn get(key: &str) -> Option<String> {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::messages::ondol::chat::settings::get(key);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::setting(key)
    }
}

/// Looks up users.
pub mod users {
    use crate::{User, UserKey};

    /// The user of a key that was passed to the current call. Any other key traps.
    ///
    /// Natively it is a user whom the test has [added](crate::testing::add_user).
    #[must_use]
    #[inline]
    pub fn get(key: UserKey) -> User {
        #[cfg(target_arch = "wasm32")]
        return crate::bindings::messages::ondol::chat::users::get(key);
        #[cfg(not(target_arch = "wasm32"))]
        crate::testing::user(key)
    }
}
