//! What can go wrong with the store.

use std::sync::Arc;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// SQLite's own error.
    #[error("SQLite: {0}")]
    Sqlite(Arc<rusqlite::Error>),
    /// The server is linked with a SQLite that can lose commits.
    #[error("SQLite {found} can lose commits in WAL mode: build with SQLite {needed} or later")]
    SqliteTooOld {
        /// Its version.
        found: String,
        /// The first version without the fault.
        needed: &'static str,
    },
    /// A later version of this server wrote the database.
    #[error(
        "the database has schema version {found}, and this server knows versions up to {known}: start a later server"
    )]
    SchemaTooNew {
        /// The version of its schema.
        found: i64,
        /// The latest version that this server knows.
        known: i64,
    },
    /// As many messages wait for the disk as may.
    #[error("commit_queue_max = {0} messages are waiting for the disk: try again later")]
    Busy(usize),
    /// Another process holds the lock on the data, or the lock file is unusable.
    #[error("cannot lock the data: {0}")]
    Locked(String),
    /// The operating system gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(String),
    /// The room does not exist.
    #[error("there is no such room")]
    NoRoom,
    /// A release was made over one that is not active any more.
    #[error("release {active} is active by now")]
    Overtaken {
        /// The active one. 0: none is.
        active: u64,
    },
    /// The room has used up its numbers.
    #[error("the room is full: it has 2^32 messages, so the conversation needs a new room")]
    Full,
    /// The message's `seq` does not follow the last one stored in its room.
    #[error("the previous message of the room was not stored, so this one would leave a gap")]
    OutOfTurn,
    /// The sender has a message with the same `client_id` in the room.
    #[error("the sender already has a message with this client_id in the room")]
    Repeated,
    /// The database cannot have a write-ahead log.
    #[error("the database cannot use a write-ahead log (journal_mode is {0}): move it to a local file system")]
    NoLog(String),
    /// An import into the database has begun and not ended.
    #[error(
        "an import into this database is not finished: finish it with `ondol import {0}` and the same --data, or restore \
         the backup from before"
    )]
    HalfImported(String),
    /// A database with an unfinished import was changed by another program.
    #[error(
        "the database was changed since its import was interrupted, so the import cannot go on: restore the backup from before"
    )]
    ChangedSinceImport,
    /// A file of the data cannot be created.
    #[error("cannot create the database: {0}")]
    Files(String),
    /// PostgreSQL's own error, or that it does not answer.
    #[error("PostgreSQL: {0}")]
    Postgres(String),
    /// Another host uses the database, and this one may not use it at the same time.
    #[error("the host {host} uses this database {}: {}", described(.cluster.as_deref()), remedy(*.is_namesake))]
    InUse {
        /// Its name.
        host: String,
        /// The cluster that it is part of.
        cluster: Option<String>,
        /// It is part of the same cluster and has the name of this one.
        is_namesake: bool,
    },
    /// A host of the cluster speaks another version of what hosts say to each other.
    #[error(
        "the host {host} (ondol {version}) speaks version {found} of what hosts say to each other, and this one version \
         {known}: run one version of ondol on all hosts of the cluster; stop all of them before a start of another"
    )]
    OtherProto {
        /// Its name.
        host: String,
        /// The version of its server.
        version: String,
        /// The version that it speaks.
        found: i32,
        /// The version that this one speaks.
        known: i32,
    },
    /// Another host is the room's home.
    #[error("another host numbers the messages of this room")]
    HomeElsewhere,
    /// This host was declared dead, or the database has lost commits. Nothing that it says of the chat may be true.
    #[error("this host may not write any more: {0}")]
    Fenced(String),
    /// The database has not told whether this is stored, and is waited for no longer. Callers must get no answer.
    #[error("the database has not told in time whether this is stored")]
    InDoubt,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

fn described(cluster: Option<&str>) -> String {
    cluster.map_or_else(|| "alone".to_owned(), |cluster| format!("as part of the cluster {cluster}"))
}

fn remedy(is_namesake: bool) -> &'static str {
    if is_namesake {
        "stop it first, or give this one another `host`"
    } else {
        "stop it first; several hosts on one database need the same `cluster` and a `bus`"
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}
