//! What an error of PostgreSQL means for those that asked.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::error::StoreError;

/// `ondol_commit`: this host was declared dead, or writes over another connection by now.
pub(super) const FENCED: &str = "OD001";
/// `ondol_commit`: a message does not follow the last one of its room, or another host is the room's home.
pub(super) const OUT_OF_TURN: &str = "OD002";
/// `ondol_commit`: a sender's row is about to be removed.
pub(super) const SENDER_RETIRED: &str = "OD003";

/// What follows an error of a statement that stores.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The statement may be stored: the connection ended before its answer, or with it.
    Doubt,
    /// It is not stored, and may be if it is sent again.
    Again,
    /// This host has lost its role.
    Fenced,
    /// A sender has to be looked up again.
    SenderRetired,
    /// It is not stored because of its content.
    Rejected,
    /// It is not stored, and another would not be either: the disk of the server is full.
    Full,
}

/// What follows an error.
pub(super) fn meaning(error: &Error) -> Meaning {
    let Some(code) = error.code() else { return Meaning::Doubt };
    match code.code() {
        FENCED => Meaning::Fenced,
        SENDER_RETIRED => Meaning::SenderRetired,
        "53100" => Meaning::Full,
        // Serialisation and deadlock.
        "40001" | "40P01" => Meaning::Again,
        // A prepared statement whose table was changed: another connection prepares it anew.
        "0A000" if error.as_db_error().is_some_and(|error| error.routine() == Some("RevalidateCachedQuery")) => {
            Meaning::Doubt
        }
        // The server stops, starts, was replaced by its standby, or lacks memory or connections.
        code if ["57P", "53", "08", "25006", "58"].iter().any(|class| code.starts_with(class)) => Meaning::Doubt,
        _ => Meaning::Rejected,
    }
}

/// Whether a row with this key exists already.
pub(super) fn is_repeated(error: &Error) -> bool {
    error.code() == Some(&SqlState::UNIQUE_VIOLATION)
        && error.as_db_error().and_then(|error| error.constraint()) == Some("client_message_pkey")
}

/// Whether a message did not follow the last one of its room.
pub(super) fn is_out_of_turn(error: &Error) -> bool {
    error.code().is_some_and(|code| code.code() == OUT_OF_TURN || *code == SqlState::UNIQUE_VIOLATION)
}

/// An error for people. Without the server's details, which quote keys.
pub(super) fn describe(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The error of a server that is not there.
pub(super) fn unanswered(reason: &str) -> StoreError {
    StoreError::Postgres(format!("PostgreSQL does not answer: {reason}"))
}
