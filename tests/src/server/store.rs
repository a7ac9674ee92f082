//! The store of a server, as a story looks into it and disturbs it.

use std::{path::PathBuf, process::Command};

use anyhow::{Result, ensure};
use rusqlite::{Connection, OpenFlags};

use super::TestServer;
use crate::stored::{Hold, Stored};

impl TestServer {
    /// The directory of the database.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home.data()
    }

    /// The database's file. There is none on PostgreSQL.
    #[must_use]
    pub fn database_file(&self) -> PathBuf {
        self.home.data().join("ondol.db")
    }

    /// The database, to read.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn database(&self) -> Result<Connection> {
        Ok(Connection::open_with_flags(self.database_file(), OpenFlags::SQLITE_OPEN_READ_ONLY)?)
    }

    /// Makes every write of the process beyond the first byte of a file fail, or allows writes again.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn fill_disk(&self, full: bool) -> Result<()> {
        let limit = if full { "--fsize=1:unlimited" } else { "--fsize=unlimited:unlimited" };
        let status = Command::new("prlimit").args(["--pid", &self.pid().to_string(), limit]).status()?;
        ensure!(status.success(), "prlimit refused");
        Ok(())
    }

    /// What it has stored, on either store.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn stored(&self) -> Result<Stored<'_>> {
        Ok(match self.home.database() {
            Some(database) => Stored::Postgres(database),
            None => Stored::Sqlite(self.database()?),
        })
    }

    /// Changes what it has stored, on either store.
    ///
    /// # Errors
    /// When the store rejects it.
    pub fn meddle(&self, sql: &str) -> Result<()> {
        match self.home.database() {
            Some(database) => database.sql(sql).map(drop),
            None => Ok(Connection::open(self.database_file())?.execute_batch(sql)?),
        }
    }

    /// Blocks all commits until the returned transaction is dropped. Reads go on.
    ///
    /// # Errors
    /// When the database cannot be locked.
    pub fn hold_commits(&self) -> Result<Hold> {
        if let Some(database) = self.home.database() {
            return Ok(Hold::Postgres(database.hold("LOCK TABLE room, message IN SHARE MODE")?));
        }
        let other = Connection::open(self.database_file())?;
        other.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Hold::Sqlite(other))
    }
}
