//! What the host's crates share about the process itself: [`worker`] the runtime's worker threads, [`exit`] an early end,
//! [`own_executable`] its program. Knows nothing of the chat.

mod executable;
pub mod exit;
pub mod worker;

pub use executable::own_executable;
