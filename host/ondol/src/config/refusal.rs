//! How a WebSocket is refused.

/// How a WebSocket is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalStyle {
    /// By an HTTP status, before the upgrade.
    Http,
    /// By a close code of 4000 and above right after the upgrade, for clients behind a gateway that hides HTTP
    /// refusals.
    Close,
}
