//! A database of one test, and SQL sent to it by psql.

use std::{
    io::{BufRead, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{Client, OWNER_BY_PASSWORD, PASSWORD};

/// A database that only one test uses. It is emptied when its handle is dropped, for the next test: to create and drop
/// one takes a checkpoint each.
#[derive(Debug)]
pub struct Database {
    client: Client,
    spare: Arc<Spare>,
    name: String,
    owner: &'static str,
}

/// The empty databases of a server, with their owners.
pub(super) type Spare = Mutex<Vec<(&'static str, String)>>;

const EMPTY: &str = "
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
    DROP SCHEMA public CASCADE;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC";

/// A transaction that is open until this is dropped.
#[derive(Debug)]
pub struct Held {
    psql: Child,
    _orders: ChildStdin,
}

impl Database {
    /// An empty one, new or spare.
    pub(super) fn of(client: &Client, spare: &Arc<Spare>, owner: &'static str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let known = {
            let mut spare = spare.lock().unwrap_or_else(PoisonError::into_inner);
            let index = spare.iter().position(|(of, _)| *of == owner);
            index.map(|index| spare.swap_remove(index).1)
        };
        let is_new = known.is_none();
        let name = known.unwrap_or_else(|| format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        if is_new {
            // To copy files takes a third of the time that it takes to log their pages.
            let how = "TEMPLATE template0 STRATEGY file_copy";
            client.sql("postgres", "postgres", &format!("CREATE DATABASE {name} OWNER {owner} {how}"))?;
        }
        Ok(Self { client: client.clone(), spare: Arc::clone(spare), name, owner })
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

    /// Makes each commit of a message take up to this time, until this is dropped or the server ends.
    ///
    /// # Errors
    /// When psql does not start.
    pub fn slow_down(&self, commit: Duration) -> Result<Held> {
        let mut psql = self.client.psql(&self.name, "postgres").spawn().context("psql does not start")?;
        let mut orders = psql.stdin.take().context("no standard input")?;
        // Without the check it would go on after the end of psql.
        let (seconds, check) = (commit.as_secs_f64(), "SET client_connection_check_interval = '100ms'");
        let hold = "LOCK TABLE room, message IN EXCLUSIVE MODE; PERFORM pg_sleep";
        writeln!(orders, "{check};\nDO $$ BEGIN LOOP {hold}({seconds}); COMMIT; END LOOP; END $$;")?;
        Ok(Held { psql, _orders: orders })
    }

    #[cfg(test)]
    pub(super) fn psql_by_owner(&self) -> Command {
        self.client.psql(&self.name, self.owner)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Not if the server is stopped.
        if self.sql(EMPTY).is_ok() {
            let spare = (self.owner, std::mem::take(&mut self.name));
            self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(spare);
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
