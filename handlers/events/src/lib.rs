//! The default `events` handler. [`payload`] writes; the glue to the contract in `wit/` is in `component`. Knows nothing
//! of who receives what it writes, nor of when.

pub mod payload;

// Only where a component is built: its exports have names that native linkers do not take.
#[cfg(target_arch = "wasm32")]
mod component;
