//! The store's limits, and when a commit counts as durable. The config fills them.

/// The store's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// The most messages that may wait to be committed.
    pub commit_queue_max: usize,
    /// The most messages in one transaction.
    pub commit_batch_max: usize,
    /// The most bytes of a page as JSON. A page ends before it grows larger, and holds at least one message.
    pub page_bytes_max: usize,
    /// The most bytes of latest messages that are kept in memory. 0: none are.
    pub history_cache_bytes_max: usize,
    /// Which messages are kept.
    pub retention: MessageRetention,
}

/// How long messages are kept. 0: for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageRetention {
    /// The latest messages of each room that are kept, by their numbers.
    pub of_room: u64,
    /// The age at which messages are removed, in milliseconds.
    pub age_ms: u64,
}

/// When a transaction counts as durable, in SQLite's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// Each commit waits for the disk: what a member has seen survives a power failure.
    Full,
    /// A commit survives a crash of the server; a power failure may take the last ones.
    Normal,
}
