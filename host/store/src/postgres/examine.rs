//! Whether a server could use a database, for an operator who asks before it starts. Changes nothing.

use std::time::Duration;

use tokio::runtime;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::answers::unanswered;
use super::connect::{self, Connector, PostgresConfig, Purpose};
use super::{opening, schema};
use crate::error::StoreError;

/// How long the answers of a server that takes connections may take.
const ANSWERS_MAX: Duration = Duration::from_secs(5);

/// A database that a server could use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The version of PostgreSQL.
    pub version: String,
    /// The version of the schema. None: the first start creates it.
    pub schema: Option<i32>,
    /// What an operator should change, a sentence each.
    pub warnings: Vec<String>,
}

/// Connects to a database as a server does, and asks what a server needs. Not on a runtime: it waits.
///
/// # Errors
///
/// If no server answers within some seconds, or a server could not use the database.
pub fn examine(config: &PostgresConfig) -> Result<Examined, StoreError> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| StoreError::Thread(error.to_string()))?;
    let connector = Connector::new(config)?;
    runtime.block_on(async {
        let mut client = connector.connect(Purpose::Control).await?;
        let asked = timeout(ANSWERS_MAX, ask(&mut client, config)).await;
        asked.map_err(|_| unanswered("it accepts connections and does not answer"))?
    })
}

async fn ask(client: &mut Client, config: &PostgresConfig) -> Result<Examined, StoreError> {
    connect::check_server(client).await?;
    let sql = "SELECT current_setting('server_version'), to_regclass('cluster') IS NOT NULL, current_schema(), \
               coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), current_setting('fsync'), \
               current_setting('full_page_writes')";
    let row = client.query_one(sql, &[]).await?;
    let (has_schema, may_create): (bool, bool) = (row.try_get(1)?, row.try_get(3)?);
    let schema = if has_schema { Some(known_schema(client).await?) } else { None };
    if schema.is_none() && !may_create {
        let named: Option<String> = row.try_get(2)?;
        let named = named.map_or_else(|| "no schema of the search_path".to_owned(), |name| format!("schema {name}"));
        return Err(StoreError::Postgres(format!(
            "the role may not create tables ({named}): make it the owner of the database, or GRANT CREATE ON SCHEMA to it"
        )));
    }
    if config.cluster.is_some() && schema == Some(schema::VERSION) {
        opening::refuse_beside(client, config).await?;
    }
    let mut warnings = Vec::new();
    let mut warn_if_off = |index: usize, name: &str, then: &str| -> Result<(), StoreError> {
        if row.try_get::<_, String>(index)? == "off" {
            warnings.push(format!("{name} = off: {then}"));
        }
        Ok(())
    };
    warn_if_off(4, "fsync", "a crash of its machine can destroy the database")?;
    warn_if_off(5, "full_page_writes", "a crash of its machine can destroy the database")?;
    Ok(Examined { version: row.try_get(0)?, schema, warnings })
}

/// The version of the schema that is there.
pub(super) async fn known_schema(client: &Client) -> Result<i32, StoreError> {
    let row = client.query_opt("SELECT schema FROM cluster", &[]).await?;
    let found = row.map(|row| row.try_get::<_, i32>(0)).transpose()?.unwrap_or(0);
    if found > schema::VERSION {
        return Err(StoreError::SchemaTooNew { found: found.into(), known: schema::VERSION.into() });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use ondol_engines::{Postgres, Settings};

    use super::*;
    use crate::limits::Synchronous;

    fn config(url: &str) -> PostgresConfig {
        PostgresConfig::of_tests(url, "chat-1")
    }

    #[test]
    fn an_empty_database_can_be_used_and_stays_empty() {
        let Some(database) = Postgres::of_tests().unwrap() else { return };
        let examined = examine(&config(&database.url())).unwrap();
        assert_eq!((examined.schema, examined.warnings), (None, vec![]));
        assert!(examined.version.starts_with(|c: char| c.is_ascii_digit()), "{}", examined.version);
        assert_eq!(database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").unwrap(), "0");
    }

    #[test]
    fn the_schema_that_is_there_has_a_version_that_this_server_knows() {
        let Some(database) = Postgres::of_tests().unwrap() else { return };
        database.sql_by_owner("CREATE TABLE cluster (schema int NOT NULL); INSERT INTO cluster VALUES (1)").unwrap();
        assert_eq!(examine(&config(&database.url())).unwrap().schema, Some(1));
        database.sql_by_owner("UPDATE cluster SET schema = 9").unwrap();
        let error = examine(&config(&database.url())).unwrap_err().to_string();
        assert!(error.contains("schema version 9"), "{error}");
    }

    #[test]
    fn a_role_that_may_create_nothing_is_refused() {
        let Some(database) = Postgres::of_tests().unwrap() else { return };
        database
            .sql(
                "ALTER SCHEMA public OWNER TO postgres; REVOKE ALL ON SCHEMA public FROM PUBLIC; \
                      GRANT USAGE ON SCHEMA public TO PUBLIC",
            )
            .unwrap();
        let error = examine(&config(&database.url())).unwrap_err().to_string();
        assert!(error.contains("may not create tables (schema public)"), "{error}");
    }

    #[test]
    fn several_hosts_are_tried_and_the_one_that_answers_is_examined() {
        let Some(database) = Postgres::of_tests().unwrap() else { return };
        let url = database.url().replace('@', "@127.0.0.1:1,");
        assert!(examine(&config(&url)).is_ok());
        let error = examine(&config("postgres://ondol@127.0.0.1:1/chat")).unwrap_err().to_string();
        assert!(error.starts_with("PostgreSQL"), "{error}");
    }

    #[test]
    fn a_server_that_does_not_know_a_setting_is_too_old() {
        let Some(database) = Postgres::of_tests().unwrap() else { return };
        let url = format!("{}?options=-c%20setting_of_a_later_version%3D1", database.url());
        let error = examine(&config(&url)).unwrap_err().to_string();
        assert!(error.contains("setting_of_a_later_version") && error.contains("version 15 or later"), "{error}");
    }

    #[test]
    fn a_change_may_take_as_long_as_a_component_takes_to_arrive() {
        let Some(database) = Postgres::of_tests().unwrap() else { return };
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (purpose, expected) in [(Purpose::Change, "1min"), (Purpose::Control, "10s")] {
            let set = runtime.block_on(async {
                let client = Connector::new(&config(&database.url())).unwrap().connect(purpose).await.unwrap();
                let shown = client.query_one("SHOW idle_in_transaction_session_timeout", &[]).await.unwrap();
                shown.get::<_, String>(0)
            });
            assert_eq!(set, expected);
        }
    }

    #[test]
    fn settings_that_may_lose_commits_are_warned_of_or_set() {
        let other =
            [("fsync", "off"), ("synchronous_commit", "off")].map(|(name, to)| (name.to_owned(), to.to_owned()));
        let Some(server) = Postgres::start_with(&Settings { other: other.into(), ..Settings::default() }).unwrap()
        else {
            return;
        };
        let full = config(&server.database().unwrap().url());
        let warnings = examine(&full).unwrap().warnings;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("fsync = off"));
        let normal = PostgresConfig { synchronous: Synchronous::Normal, ..full.clone() };
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (config, expected) in [(full, "on"), (normal, "off")] {
            let set = runtime.block_on(async {
                let client = Connector::new(&config).unwrap().connect(Purpose::Write).await.unwrap();
                client.query_one("SHOW synchronous_commit", &[]).await.unwrap().get::<_, String>(0)
            });
            assert_eq!(set, expected);
        }
    }
}
