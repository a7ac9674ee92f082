//! Why a frame or a request is not stored or sent, and its code for programs.

use ondol_host_model::Refusal;

/// Why a frame is not stored or sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SayError {
    /// A handler or the host refuses it.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// A handler failed. The log has the reason.
    #[error("the server failed to handle this message")]
    HandlerFault,
    /// It could not be stored.
    #[error("the message could not be stored")]
    NotStored,
    /// The database did not tell what became of it.
    #[error("the server cannot tell whether the message is stored: send it again with the same client_id")]
    Unknown,
    /// A queue is full.
    #[error("too many messages are waiting, try again")]
    Busy,
    /// Another host is the room's home, and cannot be reached.
    #[error("the host that keeps this room cannot be reached now, try again")]
    Unreachable,
}

impl SayError {
    /// For programs.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.code,
            Self::HandlerFault => "handler_fault",
            Self::NotStored => "not_stored",
            Self::Unknown => "unknown",
            // For a client it is the same: nothing is stored, and it may be sent again.
            Self::Busy | Self::Unreachable => "busy",
        }
    }
}
