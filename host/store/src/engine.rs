//! The databases that the store can be in. The store asks one by one what it needs: there is no trait, since there are no
//! others.

use super::postgres::Postgres;
use super::sqlite::Sqlite;

/// A database.
pub(super) enum Engine {
    /// In a file beside the server.
    Sqlite(Sqlite),
    /// In a server that other hosts use as well.
    Postgres(Box<Postgres>),
}
