//! What the store is told by the config: its limits, and when a commit counts as durable. Knows no file and no default.

/// The store's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// The messages that may wait to be committed.
    pub commit_queue_max: usize,
    /// The messages of one transaction.
    pub commit_batch_max: usize,
    /// The messages of one page, as JSON; a page ends before it grows larger, and holds at least one message.
    pub page_bytes_max: usize,
}

/// When a transaction counts as durable, in SQLite's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// Each commit waits for the disk: what a member has seen survives a power failure.
    Full,
    /// A commit survives a crash of the server; a power failure may take the last ones.
    Normal,
}
