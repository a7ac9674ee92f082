//! A database of one test, and SQL sent to it by psql.

use std::{
    io::{BufRead, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{Client, OWNER_BY_PASSWORD, PASSWORD};

/// A database that only one test uses. Dropped with its handle.
#[derive(Debug)]
pub struct Database {
    client: Client,
    name: String,
    owner: &'static str,
    kept: bool,
}

/// A transaction that is open until this is dropped.
#[derive(Debug)]
pub struct Held {
    psql: Child,
    _orders: ChildStdin,
}

impl Database {
    pub(super) fn new(client: Client, name: String, owner: &'static str) -> Self {
        Self { client, name, owner, kept: false }
    }

    /// The URL for its owner, without a password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{}@127.0.0.1:{}/{}", self.owner, self.client.port, self.name)
    }

    /// The password of its owner, if it takes one.
    #[must_use]
    pub fn password(&self) -> Option<&'static str> {
        (self.owner == OWNER_BY_PASSWORD).then_some(PASSWORD)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL as the superuser, and returns the rows: one a line, with `|` between columns.
    ///
    /// # Errors
    /// When the server refuses it, or does not answer.
    pub fn sql(&self, sql: &str) -> Result<String> {
        self.client.sql(&self.name, "postgres", sql)
    }

    /// The same as its owner.
    ///
    /// # Errors
    /// When the server refuses it, or does not answer.
    pub fn sql_by_owner(&self, sql: &str) -> Result<String> {
        self.client.sql(&self.name, self.owner, sql)
    }

    /// Opens a transaction as the superuser, and runs SQL in it, such as `LOCK TABLE message`.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn hold(&self, sql: &str) -> Result<Held> {
        let mut psql = self.client.psql(&self.name, "postgres").spawn().context("psql does not start")?;
        let mut orders = psql.stdin.take().context("no standard input")?;
        writeln!(orders, "BEGIN;\n{sql};\n\\echo held")?;
        let mut lines = BufReader::new(psql.stdout.take().context("no standard output")?).lines();
        let held = lines.by_ref().map_while(Result::ok).any(|line| line == "held");
        let transaction = Held { psql, _orders: orders };
        ensure!(held, "the transaction does not begin: {sql}");
        Ok(transaction)
    }

    #[cfg(test)]
    pub(super) fn psql_by_owner(&self) -> Command {
        self.client.psql(&self.name, self.owner)
    }

    /// Leaves it to the end of the server, and returns its name.
    pub(super) fn keep(mut self) -> String {
        self.kept = true;
        self.name.clone()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.kept {
            // A server that is stopped takes it with it at its end.
            let _ = self.client.sql("postgres", "postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The server notices that the client is gone, and rolls back.
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}

impl Client {
    /// The path of a program.
    pub(super) fn program(&self, name: &str) -> String {
        self.programs.join(name).display().to_string()
    }

    /// Runs SQL. Several statements in one text are one transaction.
    pub(super) fn sql(&self, database: &str, role: &str, sql: &str) -> Result<String> {
        let output = self.psql(database, role).args(["--command", sql]).output().context("psql does not start")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// The client of PostgreSQL, without the settings of the user.
    fn psql(&self, database: &str, role: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        command.args(["--host=127.0.0.1", "--port", &self.port.to_string(), "--username", role, "--dbname", database]);
        command.env("PGPASSWORD", PASSWORD).env("PGSSLMODE", "disable").env("PGCONNECT_TIMEOUT", "60");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}
