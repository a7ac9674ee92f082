//! What a server has stored, read beside it, in either store.

use anyhow::{Result, ensure};
use ondol_engines::{Database, Held};
use rusqlite::Connection;
use serde_json::Value;

/// The store of a server.
#[derive(Debug)]
pub enum Stored<'a> {
    /// A file.
    Sqlite(Connection),
    /// A database of PostgreSQL.
    Postgres(&'a Database),
}

/// A transaction of a story that holds up a server, until it is dropped.
#[derive(Debug)]
pub enum Hold {
    /// Of SQLite.
    Sqlite(Connection),
    /// Of PostgreSQL.
    Postgres(Held),
}

/// A stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The room.
    pub room: u64,
    /// The number in it.
    pub seq: u64,
    /// The id.
    pub id: u64,
    /// The text.
    pub text: String,
    /// The id that its client gave it.
    pub client_id: Option<String>,
}

impl Stored<'_> {
    /// All messages, by room and number.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn messages(&self) -> Result<Vec<StoredMessage>> {
        let columns = "room, seq, id, text, client_id";
        let rows = match self {
            Self::Sqlite(_) => self.rows(&format!("SELECT json_array({columns}) FROM message ORDER BY room, seq"))?,
            Self::Postgres(_) => {
                self.rows(&format!("SELECT json_build_array({columns}) FROM message ORDER BY room, seq"))?
            }
        };
        rows.into_iter()
            .map(|row| {
                let (room, seq, id, text, client_id) = serde_json::from_str(&row)?;
                Ok(StoredMessage { room, seq, id, text, client_id })
            })
            .collect()
    }

    /// The texts of a room.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn texts(&self, room: u64) -> Result<Vec<String>> {
        Ok(self.messages()?.into_iter().filter(|message| message.room == room).map(|message| message.text).collect())
    }

    /// The number that a query returns. The stores have the same tables and, apart from `user`, which is `usr` in
    /// PostgreSQL, the same columns.
    ///
    /// # Errors
    /// When the store rejects it.
    pub fn number(&self, sql: &str) -> Result<u64> {
        let rows = self.rows(sql)?;
        ensure!(rows.len() == 1, "{sql} has {} rows", rows.len());
        Ok(rows.concat().parse()?)
    }

    /// The numbers that a query returns.
    ///
    /// # Errors
    /// When the store rejects it.
    pub fn numbers(&self, sql: &str) -> Result<Vec<u64>> {
        self.rows(sql)?.iter().map(|row| Ok(row.parse()?)).collect()
    }

    /// What is wrong with the file, if anything is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn damage(&self) -> Result<Option<String>> {
        let Self::Sqlite(connection) = self else { return Ok(None) };
        let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        Ok((verdict != "ok").then_some(verdict))
    }

    /// The only column of each row, as text.
    fn rows(&self, sql: &str) -> Result<Vec<String>> {
        match self {
            Self::Sqlite(connection) => {
                let mut query = connection.prepare(sql)?;
                let rows = query.query_map([], |row| row.get::<_, rusqlite::types::Value>(0))?;
                rows.map(|value| {
                    Ok(match value? {
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        rusqlite::types::Value::Text(text) => text,
                        other => Value::String(format!("{other:?}")).to_string(),
                    })
                })
                .collect()
            }
            Self::Postgres(database) => Ok(database.sql(sql)?.lines().map(str::to_owned).collect()),
        }
    }
}
