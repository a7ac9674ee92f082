//! That a server is what tests take it for.

use std::process::Output;

use super::*;

const TABLE: &str = "CREATE TABLE note (text text); INSERT INTO note VALUES ('made once')";

/// Asks as the owner of `database` who it is, with environment variables of libpq.
fn whoami(database: &Database, environment: &[(&str, &str)]) -> Result<Output> {
    let mut psql = database.psql_by_owner();
    psql.envs(environment.iter().copied()).args(["--command", "SELECT current_user"]);
    Ok(psql.output()?)
}

#[test]
fn a_test_has_a_database_of_its_own() -> Result<()> {
    let Some(ours) = Postgres::of_tests_with(TABLE)? else { return Ok(()) };
    let Some(theirs) = Postgres::of_tests_with(TABLE)? else { return Ok(()) };
    ours.sql_by_owner("DELETE FROM note")?;
    assert_eq!(ours.sql("SELECT count(*) FROM note")?, "0");
    assert_eq!(theirs.sql("SELECT text FROM note")?, "made once");
    assert!(theirs.url().ends_with(&format!("/{}", theirs.name())));
    assert_eq!(theirs.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'ondol'")?, "f");
    Ok(())
}

#[test]
fn the_next_test_finds_nothing_of_the_last_one() -> Result<()> {
    let Some(server) = Postgres::start()? else { return Ok(()) };
    let database = server.database_with(TABLE)?;
    let (name, held) = (database.name().to_owned(), database.hold("LOCK TABLE note")?);
    drop(database);
    let next = server.database()?;
    assert_eq!(next.name(), name);
    assert_eq!(next.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")?, "0");
    next.sql_by_owner(TABLE)?;
    drop(held);
    Ok(())
}

#[test]
fn a_held_transaction_ends_with_its_handle() -> Result<()> {
    let Some(database) = Postgres::of_tests_with(TABLE)? else { return Ok(()) };
    let insert = "SET lock_timeout = 10; INSERT INTO note VALUES ('another')";
    let held = database.hold("LOCK TABLE note")?;
    assert!(database.sql(insert).is_err());
    drop(held);
    database.sql("INSERT INTO note VALUES ('another')")?;
    assert!(database.hold("LOCK TABLE missing").is_err());
    Ok(())
}

#[test]
fn a_password_is_asked_for() -> Result<()> {
    let Some(database) = Postgres::of_tests_by_password()? else { return Ok(()) };
    assert!(!whoami(&database, &[("PGPASSWORD", "wrong")])?.status.success());
    let password = database.password().context("no password")?;
    assert!(whoami(&database, &[("PGPASSWORD", password)])?.status.success());
    assert_eq!(Postgres::of_tests()?.and_then(|open| open.password()), None);
    Ok(())
}

#[test]
fn data_and_port_outlive_every_stop() -> Result<()> {
    let Some(mut server) = Postgres::start()? else { return Ok(()) };
    let (database, address) = (server.database_with(TABLE)?, server.address());
    for (how, count) in [(Stop::Fast, "2"), (Stop::Immediate, "3"), (Stop::Kill, "4")] {
        database.sql("INSERT INTO note VALUES ('another')")?;
        server.stop(how)?;
        assert!(database.sql("SELECT 1").is_err());
        server.start_again()?;
        assert_eq!(database.sql("SELECT count(*) FROM note")?, count);
    }
    assert_eq!(server.address(), address);
    Ok(())
}

#[test]
fn a_frozen_server_goes_on_when_it_is_thawed() -> Result<()> {
    let Some(server) = Postgres::start()? else { return Ok(()) };
    let database = server.database()?;
    server.freeze()?;
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid()?))?;
    assert!(status.contains("State:\tT"), "{status}");
    server.thaw()?;
    assert_eq!(database.sql("SELECT 1")?, "1");
    Ok(())
}

#[test]
fn tls_is_offered_where_there_is_a_certificate() -> Result<()> {
    let settings = Settings { tls: Some(Certificate::new()?), ..Settings::default() };
    let Some(server) = Postgres::start_with(&settings)? else { return Ok(()) };
    let (database, authority) = (server.database()?, server.authority_file().display().to_string());
    let verified = [("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", authority.as_str())];
    let output = whoami(&database, &verified)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
