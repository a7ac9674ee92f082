//! Where the store keeps what it has: in a file beside the server, or in PostgreSQL.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::Config;
use super::limits::Limits;
use super::read::{HOST_CHARS_MAX, is_of_host};
use crate::files;
use ondol_host_cluster::PROTO;
use ondol_host_store::{POSTGRES_BYTES_MAX, POSTGRES_USER_ID_CHARS_MAX, PostgresConfig};

/// The name of a host whose machine has none.
const NAMELESS: &str = "ondol";

/// Where the database is.
pub enum StorePlace {
    /// In this file.
    File(PathBuf),
    /// In PostgreSQL.
    Postgres(PostgresConfig),
}

impl Config {
    /// Where the database is. Reads the file with its password.
    ///
    /// # Errors
    ///
    /// When that file cannot be read, or is empty.
    pub fn store_place(&self) -> anyhow::Result<StorePlace> {
        let Some(url) = &self.store else { return Ok(StorePlace::File(self.database_file())) };
        Ok(StorePlace::Postgres(PostgresConfig {
            url: url.as_str().to_owned(),
            password: self.store_password()?,
            host: self.host_name(),
            cluster: self.bus.is_some().then(|| self.cluster.clone()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            synchronous: self.synchronous,
            readers_max: self.limits.store_readers_max,
            proto: PROTO.into(),
            host_lost: Duration::from_millis(self.limits.host_lost_ms),
        }))
    }

    /// The file of the database, unless it is in PostgreSQL.
    #[must_use]
    pub fn database_file(&self) -> PathBuf {
        self.data.join("ondol.db")
    }

    /// Where the database is, for people: the path of its file, or its URL.
    #[must_use]
    pub fn database_shown(&self) -> String {
        self.store.as_ref().map_or_else(|| self.database_file().display().to_string(), ToString::to_string)
    }

    /// The name of this host.
    #[must_use]
    pub fn host_name(&self) -> String {
        let machine = || name_of_machine(fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim());
        self.host.clone().unwrap_or_else(machine)
    }

    fn store_password(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.store_password_file else { return Ok(None) };
        let read = || {
            let text = String::from_utf8(files::bytes(path)?).ok().context("not UTF-8")?;
            // Editors end a file with a line feed. Other white space may be part of the password.
            let password = text.trim_end_matches(['\r', '\n']);
            ensure!(!password.is_empty(), "empty");
            ensure!(!password.contains('\0'), "it has a zero byte");
            Ok(password.to_owned())
        };
        read().map(Some).with_context(|| format!("store_password_file {}", path.display()))
    }

    /// The settings of the store that do not go together.
    pub(super) fn store_conflicts(&self) -> Vec<String> {
        if self.store.is_none() {
            let alone = "`store_password_file` is set without `store`: a database in a file has no password";
            return self.store_password_file.iter().map(|_| alone.to_owned()).collect();
        }
        let Limits { user_id_chars_max, commit_queue_bytes_max, handler_file_bytes_max, .. } = self.limits;
        let bounds = [
            ("user_id_chars_max", user_id_chars_max, POSTGRES_USER_ID_CHARS_MAX),
            ("commit_queue_bytes_max", commit_queue_bytes_max, POSTGRES_BYTES_MAX),
            ("handler_file_bytes_max", handler_file_bytes_max, POSTGRES_BYTES_MAX),
        ];
        let beyond = bounds.into_iter().filter(|(_, given, max)| given > max);
        beyond
            .map(|(name, given, max)| format!("`limits.{name}` is {given}: with `store` it is at most {max}"))
            .collect()
    }
}

/// A machine's name as that of a host.
fn name_of_machine(name: &str) -> String {
    let name: String = name.chars().map(|c| if is_of_host(c) { c } else { '-' }).take(HOST_CHARS_MAX).collect();
    if name.is_empty() { NAMELESS.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use ondol_host_store::PostgresUrl;

    fn on_postgres(password: Option<&str>) -> (tempfile::NamedTempFile, Config) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), password.unwrap_or_default()).unwrap();
        let store = PostgresUrl::parse("postgres://ondol@db-1,db-2:5433/chat");
        let store_password_file = password.map(|_| file.path().to_owned());
        (file, Config { store, store_password_file, host: Some("chat-1".to_owned()), ..Config::default() })
    }

    #[test]
    fn without_a_store_the_database_is_a_file_in_the_data_directory() {
        let StorePlace::File(file) = Config::default().store_place().unwrap() else { panic!("a file") };
        assert_eq!(file, PathBuf::from("ondol-data/ondol.db"));
    }

    #[test]
    fn the_password_of_the_database_comes_from_a_file() {
        let (_file, config) = on_postgres(Some(" long secret \n"));
        let StorePlace::Postgres(place) = config.store_place().unwrap() else { panic!("PostgreSQL") };
        assert_eq!(place.password.as_deref(), Some(" long secret "));
        assert_eq!((place.url.as_str(), place.host.as_str()), ("postgres://ondol@db-1,db-2:5433/chat", "chat-1"));
        assert_eq!((place.readers_max, place.version.as_str()), (8, env!("CARGO_PKG_VERSION")));
        assert_eq!((place.proto, place.host_lost), (i32::from(PROTO), Duration::from_secs(3)));
        let (_file, config) = on_postgres(None);
        let StorePlace::Postgres(place) = config.store_place().unwrap() else { panic!("PostgreSQL") };
        assert_eq!(place.password, None);
    }

    #[test]
    fn a_password_that_cannot_be_read_is_an_error_that_names_the_file() {
        let (file, config) = on_postgres(Some("\n"));
        let error = format!("{:#}", config.store_place().err().unwrap());
        assert_eq!(error, format!("store_password_file {}: empty", file.path().display()));
        drop(file);
        let error = format!("{:#}", config.store_place().err().unwrap());
        assert!(error.contains("cannot open the file"), "{error}");
    }

    #[test]
    fn a_host_without_a_name_is_called_like_its_machine() {
        assert_eq!(name_of_machine("chat-1.example.com"), "chat-1.example.com");
        assert_eq!(name_of_machine("Anna's 노트북"), "Anna-s----");
        assert_eq!(name_of_machine(&"x".repeat(64)).len(), 63);
        assert_eq!(name_of_machine(""), "ondol");
        assert!(!Config::default().host_name().is_empty());
    }
}
