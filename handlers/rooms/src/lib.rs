//! The default `rooms` handler. [`naming`] decides; the glue to the contract in `wit/` is in `component`. Knows nothing
//! of which rooms there are: the host looks for a standing one, and stores the new one.

pub mod naming;

// Only where a component is built: its exports have names that native linkers do not take.
#[cfg(target_arch = "wasm32")]
mod component;
