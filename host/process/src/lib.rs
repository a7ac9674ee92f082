//! What the crates of the host share of the process itself: [`worker`] the runtime's worker threads, [`exit`] an end before its
//! time. Knows nothing of the chat.

pub mod exit;
pub mod worker;
