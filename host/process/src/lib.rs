//! The process itself, as the host's crates share it: [`worker`] hands a worker thread's tasks off, [`exit`] ends the
//! process at once, [`own_executable`] is its program, [`hide_supervisor`] keeps its supervisor's variables from its children.
//! Knows nothing of the chat.

mod executable;
pub mod exit;
mod supervisor;
pub mod worker;

pub use executable::own_executable;
pub use supervisor::hide_supervisor;
