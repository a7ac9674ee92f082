//! The default `events` handler. [`payload`] writes; [`Events`] is the glue to the contract in `wit/`. Knows nothing of who
//! receives what it writes, nor of when.

mod component;
pub mod payload;

pub use component::{Events, message};
