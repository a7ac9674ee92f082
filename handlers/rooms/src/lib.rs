//! The default `rooms` handler. [`naming`] decides; [`Rooms`] is the glue to the contract in `wit/`. Knows nothing of which
//! rooms there are: the host looks for a standing one, and stores the new one.

mod component;
pub mod naming;

pub use component::Rooms;
