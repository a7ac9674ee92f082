//! The default `messages` handler. [`frame`] decides, over what [`json`] reads, most of it by [`quick`]; the glue to the
//! contract in `wit/` is in `component`. Knows nothing of who else is in the room, and never relays: whatever it accepts is to
//! be stored.

pub mod frame;
pub mod json;
pub mod quick;

// Only where a component is built: its exports have names that native linkers do not take.
#[cfg(target_arch = "wasm32")]
mod component;
