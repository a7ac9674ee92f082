//! TLS to the database.

use super::*;
use ondol_engines::{Certificate, Settings};

#[tokio::test]
async fn a_required_certificate_is_verified_and_a_preferred_one_is_not() -> Result<()> {
    let settings = Settings { tls: Some(Certificate::new()?), ..Settings::default() };
    let Some(server) = ondol_engines::Postgres::start_with(&settings)? else { return Ok(()) };
    let database = server.database()?;
    for mode in ["require", "verify-full"] {
        let error = host(&format!("{}?sslmode={mode}", database.url()), "chat-1").await.err();
        let error = error.context("an unknown authority is trusted")?.to_string();
        assert!(error.contains("certificate"), "{error}");
    }
    let host = host(&database.url(), "chat-1").await?;
    let encrypted = "SELECT bool_and(ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'ondol chat-1'";
    assert_eq!(database.sql(encrypted)?, "t|2");
    host.ask().await?;
    Ok(())
}
