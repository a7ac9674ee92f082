//! The default `events` handler. [`payload`] writes, [`senders`] keeps what need not be written again; the glue to the contract
//! in `wit/` is in `component`. Knows nothing of
//! who receives what it writes, nor of when.

pub mod payload;
pub mod senders;

// Only where a component is built: its exports have names that native linkers do not take.
#[cfg(target_arch = "wasm32")]
mod component;
