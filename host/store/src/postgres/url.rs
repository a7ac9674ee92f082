//! The URL of a database, as a config has it.

use std::fmt;

use tokio_postgres::Config;

use super::connect::without_verification_mode;

/// The URL of a database of PostgreSQL, as libpq takes it. It has no password in it, so it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl(String);

impl PostgresUrl {
    /// Reads a URL. None: it is not one of PostgreSQL, or it has a password in it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Without a scheme it would be read as libpq's other form, `host=… password=…`.
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) || text.contains('\0') {
            return None;
        }
        let config: Config = without_verification_mode(text).parse().ok()?;
        config.get_password().is_none().then(|| Self(text.to_owned()))
    }

    /// The URL itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_hosts_a_user_and_a_database() {
        for url in [
            "postgres://ondol@db-1/ondol",
            "postgresql://ondol@db-1,db-2:5433/ondol?sslmode=verify-full",
            "postgres://ondol@[::1]:5432/ondol",
            "postgres:///ondol?host=/run/postgresql",
        ] {
            assert_eq!(PostgresUrl::parse(url).unwrap().as_str(), url);
        }
    }

    #[test]
    fn what_is_not_a_url_of_postgresql_is_not_taken() {
        for url in [
            "",
            "ondol.db",
            "mysql://ondol@db-1/ondol",
            "host=db-1 user=ondol",
            "postgres:/ondol@db-1/ondol",
            "postgres://ondol@db-1:port/ondol",
            "postgres://ondol@db-1:1,db-2:2,db-3:70000/ondol",
            "postgres://ondol@db-1/ondol?sslmode=perhaps",
            "postgres://ondol@db-1/ondol?colour=red",
        ] {
            assert_eq!(PostgresUrl::parse(url), None, "{url}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_not_taken() {
        for url in [
            "postgres://ondol:secret@db-1/ondol",
            "postgres://ondol:@db-1/ondol",
            "postgres://:secret@db-1/ondol",
            "postgres://ondol:se@cret@db-1/ondol",
            "postgres://ondol@db-1/ondol?password=secret",
            "postgres://ondol@db-1/ondol?pass%77ord=secret",
            "postgres://db-1:5432/ondol?application_name=a@b",
        ] {
            assert_eq!(PostgresUrl::parse(url), None, "{url}");
        }
    }
}
