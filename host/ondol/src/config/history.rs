//! Who writes stored messages for those who read them.

/// Who writes the messages that REST answers show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryForm {
    /// The host, in a form of its own.
    Host,
    /// The `events` handler, as it writes the event of a live message.
    Events,
}
