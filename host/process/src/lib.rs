//! The process itself, as the host's crates share it: [`worker`] hands a worker thread's tasks off, [`exit`] ends the
//! process at once. Knows nothing of the chat.

pub mod exit;
pub mod worker;
