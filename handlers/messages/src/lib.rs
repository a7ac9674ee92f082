//! The default `messages` handler. [`frame`] decides, over what [`json`] reads; [`Messages`] is the glue to the contract in
//! `wit/`. Knows nothing of who else is in the room, and never relays: what it accepts is stored.

mod component;
pub mod frame;
pub mod json;

pub use component::Messages;
