//! Why a database was not moved.

use std::path::PathBuf;

use crate::error::StoreError;
use crate::sqlite::ArchiveError;
use crate::verified::Problems;

/// Why a database was not moved. Both are as they were.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The lock on the file's data is taken.
    #[error("{0}; stop the server first (and its socket unit)")]
    Running(StoreError),
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Database(PathBuf, ArchiveError),
    /// The file is broken.
    #[error("{0} is damaged, so nothing was moved: {1}; `ondol verify` lists what is wrong")]
    Damaged(PathBuf, Problems),
    /// PostgreSQL's indexes cannot hold a user's id.
    #[error("a user_id has {found} characters, and PostgreSQL can index {max}: nothing was moved")]
    UserId {
        /// Its length.
        found: u64,
        /// The most that fit.
        max: usize,
    },
    /// The database in PostgreSQL has rows.
    #[error(
        "the database in PostgreSQL is not empty: its table {0} has rows. Move into a new database, or empty this one \
         (DROP SCHEMA public CASCADE; CREATE SCHEMA public)"
    )]
    NotEmpty(&'static str),
    /// Either database's own error.
    #[error("{0}; nothing was moved")]
    Store(StoreError),
    /// What was written differs from what was read.
    #[error("the databases differ after the copy, so nothing was moved: {0}")]
    Differs(String),
    /// The answer to the commit was lost.
    #[error(
        "the connection was lost during the commit ({0}): run the same command again. It either moves the chat, or says that the \
         database is not empty, and then this run has moved it"
    )]
    InDoubt(String),
    /// The caller stopped it.
    #[error("stopped: nothing was moved")]
    Stopped,
}

// Not as its source, which would be told twice.
impl From<StoreError> for MigrateError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for MigrateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<tokio_postgres::Error> for MigrateError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}
