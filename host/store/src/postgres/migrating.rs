//! The database that another one is moved into: takes it if it is empty, and writes and reads its tables in one transaction.

use std::pin::Pin;

use tokio::runtime::{self, Runtime};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error};

use super::answers::describe;
use super::connect::{self, Connector, PostgresConfig, Purpose};
use super::{opening, schema};
use crate::error::StoreError;
use crate::migration::{CHECKED_TABLES, Heads, MESSAGE, MigrateError, Row, Table};

/// How many rows are read at once.
const ROWS: usize = 2_000;

/// How many are read at once where one may have many megabytes.
const LARGE_ROWS: usize = 1;

/// How long it is waited for another process that changes the database.
const LOCK_MAX: &str = "SET LOCAL lock_timeout = '3s'";

/// The database that is filled. Without a commit it is as it was.
pub(crate) struct MigrationTarget {
    runtime: Runtime,
    client: Client,
}

/// Rows that are written.
pub(crate) struct TableWriter<'a> {
    target: &'a MigrationTarget,
    writer: Pin<Box<BinaryCopyInWriter>>,
}

impl MigrationTarget {
    /// Connects and begins. Until the end no host comes.
    pub(crate) fn open(config: &PostgresConfig) -> Result<Self, MigrateError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreError::Thread(error.to_string()))?;
        let connector = Connector::new(config)?;
        let client = runtime.block_on(async {
            let client = connector.connect(Purpose::Whole).await?;
            connect::check_server(&client).await?;
            begin(&client).await?;
            Ok::<_, MigrateError>(client)
        })?;
        Ok(Self { runtime, client })
    }

    /// Begins to write the rows of a table.
    pub(crate) fn write(&self, table: &Table) -> Result<TableWriter<'_>, MigrateError> {
        // Frozen rows are never written again to tell that they are old.
        let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE)", table.name, table.column_names());
        let types: Vec<_> = table.columns.iter().map(|(_, kind)| kind.sql_type()).collect();
        let sink = self.runtime.block_on(self.client.copy_in(&sql))?;
        Ok(TableWriter { target: self, writer: Box::pin(BinaryCopyInWriter::new(sink, &types)) })
    }

    /// Passes on all rows of a table.
    pub(crate) fn read(
        &self,
        table: &Table,
        visit: &mut dyn FnMut(Row) -> Result<(), MigrateError>,
    ) -> Result<(), MigrateError> {
        let is_large = table.columns.iter().any(|(_, kind)| *kind == crate::migration::Kind::Bytes);
        let rows = if is_large { LARGE_ROWS } else { ROWS };
        let cursor =
            format!("DECLARE ondol_rows NO SCROLL CURSOR FOR SELECT {} FROM {}", table.column_names(), table.name);
        self.runtime.block_on(async {
            self.client.batch_execute(&cursor).await?;
            let fetch = self.client.prepare(&format!("FETCH {rows} FROM ondol_rows")).await?;
            loop {
                let page = self.client.query(&fetch, &[]).await?;
                if page.is_empty() {
                    return Ok(self.client.batch_execute("CLOSE ondol_rows").await?);
                }
                for row in page {
                    visit(
                        (0..row.len())
                            .map(|column| row.try_get(column))
                            .collect::<Result<Row, tokio_postgres::Error>>()?,
                    )?;
                }
            }
        })
    }

    /// Makes numbers go on above those that were used, keeps the epoch, and compares both.
    pub(crate) fn settle(&self, heads: &Heads) -> Result<(), MigrateError> {
        self.runtime.block_on(async {
            self.client.execute("UPDATE cluster SET epoch = $1", &[&heads.epoch]).await?;
            // The start tells messages of another database from this one's.
            let first = heads.first_free_id;
            self.client.batch_execute(&format!("ALTER SEQUENCE message_id START WITH {first} RESTART")).await?;
            for (table, column, last) in &heads.numbers {
                let sql = "SELECT setval(pg_get_serial_sequence($1, $2), greatest($3::bigint, 1), $3::bigint > 0)";
                self.client.query_one(sql, &[table, column, last]).await?;
            }
            self.compare(heads).await?;
            let tables: Vec<_> = tables().map(|table| table.name).collect();
            Ok(self.client.batch_execute(&format!("ANALYZE {}", tables.join(", "))).await?)
        })
    }

    async fn compare(&self, heads: &Heads) -> Result<(), MigrateError> {
        let differs = |what: &str| Err(MigrateError::Differs(what.to_owned()));
        let row = self.client.query_one("SELECT epoch, (SELECT last_value FROM message_id) FROM cluster", &[]).await?;
        if row.try_get::<_, String>(0)? != heads.epoch {
            return differs("the epoch");
        }
        if row.try_get::<_, i64>(1)? != heads.first_free_id {
            return differs("the first free id of messages");
        }
        for (table, column, last) in &heads.numbers {
            let sql = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence($1, $2)::regclass), 0)";
            if self.client.query_one(sql, &[table, column]).await?.try_get::<_, i64>(0)? != *last {
                return differs(&format!("the last number of the table {table}"));
            }
        }
        Ok(())
    }

    /// Ends the move: from now on it is there.
    pub(crate) fn commit(self) -> Result<(), MigrateError> {
        match self.runtime.block_on(self.client.batch_execute("COMMIT")) {
            Ok(()) => Ok(()),
            Err(error) if error.as_db_error().is_some() => Err(error.into()),
            Err(error) => Err(MigrateError::InDoubt(describe(&error))),
        }
    }
}

impl TableWriter<'_> {
    /// Writes rows.
    pub(crate) fn write(&mut self, rows: &[Row]) -> Result<(), MigrateError> {
        self.target.runtime.block_on(async {
            for row in rows {
                let values: Vec<&(dyn ToSql + Sync)> = row.iter().map(|value| value as _).collect();
                self.writer.as_mut().write(&values).await?;
            }
            Ok(())
        })
    }

    /// Ends the table.
    pub(crate) fn finish(mut self) -> Result<(), MigrateError> {
        self.target.runtime.block_on(self.writer.as_mut().finish())?;
        Ok(())
    }
}

/// All tables that are filled.
fn tables() -> impl Iterator<Item = &'static Table> {
    [&MESSAGE].into_iter().chain(CHECKED_TABLES)
}

/// Begins the transaction, with the schema. Refuses a database that is in use or has rows.
async fn begin(client: &Client) -> Result<(), MigrateError> {
    client.batch_execute("BEGIN").await?;
    client.batch_execute(LOCK_MAX).await?;
    schema::lock(client).await.map_err(in_use_error)?;
    schema::settle_within(client).await?;
    opening::refuse_beside_any(client).await?;
    for table in tables() {
        let sql = format!("SELECT EXISTS (SELECT FROM {})", table.name);
        if client.query_one(&sql, &[]).await?.try_get(0)? {
            return Err(MigrateError::NotEmpty(table.name));
        }
    }
    // Tables of the same transaction take frozen rows.
    let names: Vec<_> = tables().map(|table| table.name).collect();
    client.batch_execute(&format!("TRUNCATE {}", names.join(", "))).await.map_err(in_use_error)
}

/// What a lock means that another process holds for too long.
fn in_use_error(error: Error) -> MigrateError {
    if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
        let reason = "another process uses this database, such as another `ondol migrate` or a backup: try again later";
        return StoreError::Postgres(reason.to_owned()).into();
    }
    error.into()
}
