//! Hosts that do not fit in: refused at their start and by `ondol check`, in words that say what to change.

use anyhow::Context as _;
use ondol_tests::{Hosts, Nats, Postgres, Setup, TestResult, TestServer, command::ondol_with};

/// Why a server with this setup does not start.
async fn start_fails(setup: Setup) -> TestResult<String> {
    Ok(format!("{:#}", setup.start().await.err().context("it started")?))
}

#[tokio::test]
async fn a_second_host_of_a_name_is_refused() -> TestResult {
    let Some(hosts) = Hosts::start(2).await? else { return Ok(()) };
    let error = start_fails(hosts.setup("a", "test")).await?;
    assert!(error.contains("the host a uses this database as part of the cluster test"), "{error}");
    assert!(error.contains("another `host`"), "{error}");
    let room = hosts.server(0).create_room("lobby").await?;
    hosts.server(1).join(room, "ann").await?.expect_nothing_before("we go on").await?;
    Ok(())
}

#[tokio::test]
async fn a_host_of_another_cluster_is_refused() -> TestResult {
    let Some(hosts) = Hosts::start(2).await? else { return Ok(()) };
    let error = start_fails(hosts.setup("c", "another")).await?;
    assert!(error.contains("uses this database") && error.contains("cluster test"), "{error}");
    let alone = TestServer::setup().on_database(hosts.database()).config("host = \"c\"");
    let error = start_fails(alone).await?;
    assert!(error.contains("uses this database") && error.contains("cluster test"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_host_that_speaks_another_version_is_refused() -> TestResult {
    let Some(mut hosts) = Hosts::start(1).await? else { return Ok(()) };
    hosts.database().sql("UPDATE host SET proto = 99")?;
    let error = start_fails(hosts.setup("b", "test")).await?;
    assert!(error.contains("the host a (ondol") && error.contains("speaks version 99"), "{error}");
    let (url, bus) = (hosts.database().url(), hosts.bus()?.url());
    let environment =
        [("ONDOL_STORE", url.as_str()), ("ONDOL_BUS", &bus), ("ONDOL_HOST", "b"), ("ONDOL_CLUSTER", "test")];
    ondol_with(&["check"], &environment)?.expect_parts(1, &["wrong", "the host a", "version 99"])
}

#[tokio::test]
async fn a_host_does_not_join_one_that_is_alone() -> TestResult {
    let (Some(database), Some(bus)) = (Postgres::of_tests()?, Nats::start()?) else { return Ok(()) };
    let database = std::sync::Arc::new(database);
    let _alone = TestServer::setup().on_database(&database).config("host = \"a\"").start().await?;
    let bus = format!("bus = \"{}\"", bus.url());
    let setup = TestServer::setup().on_database(&database).config("host = \"b\"").config("cluster = \"test\"");
    let error = start_fails(setup.config(&bus)).await?;
    assert!(error.contains("the host a uses this database alone"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_bus_beyond_this_machine_without_credentials_is_refused() -> TestResult {
    let Some(database) = Postgres::of_tests()? else { return Ok(()) };
    let url = database.url();
    let setup = TestServer::setup().on_database(&std::sync::Arc::new(database));
    let error = start_fails(setup.config("bus = \"nats://192.0.2.1:4222\"")).await?;
    assert!(error.contains("bus") && error.contains("credentials"), "{error}");
    let environment = [("ONDOL_STORE", url.as_str()), ("ONDOL_BUS", "nats://192.0.2.1:4222")];
    ondol_with(&["check"], &environment)?.expect_parts(1, &["wrong", "bus", "credentials"])
}

#[tokio::test]
async fn a_bus_that_does_not_answer_is_named() -> TestResult {
    let Some(database) = Postgres::of_tests()? else { return Ok(()) };
    let url = database.url();
    let setup = TestServer::setup().on_database(&std::sync::Arc::new(database));
    let error = start_fails(setup.config("bus = \"nats://127.0.0.1:1\"")).await?;
    assert!(error.contains("the bus") && error.contains("127.0.0.1:1"), "{error}");
    let environment = [("ONDOL_STORE", url.as_str()), ("ONDOL_BUS", "nats://127.0.0.1:1")];
    ondol_with(&["check"], &environment)?.expect_parts(1, &["wrong", "bus", "127.0.0.1:1"])
}

#[tokio::test]
async fn a_check_of_a_host_of_the_cluster_connects_to_the_bus() -> TestResult {
    let Some(mut hosts) = Hosts::start(1).await? else { return Ok(()) };
    let (url, bus) = (hosts.database().url(), hosts.bus()?.url());
    let check = |host: &str, cluster: &str| {
        let environment =
            [("ONDOL_STORE", url.as_str()), ("ONDOL_BUS", &bus), ("ONDOL_HOST", host), ("ONDOL_CLUSTER", cluster)];
        ondol_with(&["check"], &environment)
    };
    check("b", "test")?.expect_parts(0, &["fine", "bus"])?;
    check("b", "another")?.expect_parts(1, &["wrong", "cluster test"])
}

#[test]
fn a_bus_takes_a_database_that_hosts_share() -> TestResult {
    let environment = [("ONDOL_BUS", "nats://127.0.0.1:4222")];
    ondol_with(&["check"], &environment)?.expect_parts(1, &["wrong", "`bus` is set without `store`"])
}
