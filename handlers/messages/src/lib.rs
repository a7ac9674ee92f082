//! The default `messages` handler. [`frame`] decides, over what [`json`] reads; the glue to the contract in `wit/` is in
//! `component`. Knows nothing of who else is in the room, and never relays: what it accepts is stored.

pub mod frame;
pub mod json;

// Only where a component is built: its exports have names that native linkers do not take.
#[cfg(target_arch = "wasm32")]
mod component;
