//! The process itself, as the host's crates share it: [`worker`] hands a worker thread's tasks off, [`exit`] ends the
//! process at once, [`own_executable`] is its program. Knows nothing of the chat.

mod executable;
pub mod exit;
pub mod worker;

pub use executable::own_executable;
