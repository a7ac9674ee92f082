//! A search for the messages of a user.

use super::postgres;
use super::sqlite;

/// A search for the messages that a user had said when it began.
#[derive(Debug)]
pub struct UserSearch(pub(super) Search);

/// The search of each engine.
#[derive(Debug)]
pub(super) enum Search {
    Sqlite(sqlite::UserSearch),
    Postgres(postgres::UserSearch),
}

impl UserSearch {
    /// The user's rows, for [`Store::remove_unused_senders`](super::Store::remove_unused_senders).
    #[must_use]
    pub fn into_senders(self) -> Vec<i64> {
        match self.0 {
            Search::Sqlite(search) => search.into_senders(),
            Search::Postgres(search) => search.into_senders(),
        }
    }
}
