//! Deploys and rollbacks over several hosts: all of them or none, one after the other, and no room hears an older version
//! again.

use std::{path::Path, time::Duration};

use ondol_tests::{Answer, Hosts, Setup, TestResult, TestServer, guest, handlers, standard, until};
use serde_json::{Value, json};

use crate::trials::{active, asked};

/// Where a component of a deploy comes from, with its handler and its settings.
type Part<'a> = (&'a str, &'a Path, Value);

/// Three hosts with an admin API each, and without probations.
pub(super) async fn operated() -> TestResult<Option<Hosts>> {
    Hosts::start_with(3, |setup| setup.admin().limit("probation_ms", 0)).await
}

/// Deploys handlers together through a host. `expected`: the release that has to be active.
pub(super) async fn deploy(
    hosts: &Hosts,
    host: usize,
    parts: &[Part<'_>],
    expected: Option<u64>,
) -> TestResult<Answer> {
    let mut body = json!({ "expected_release": expected });
    for (handler, file, settings) in parts {
        let component = data_encoding::BASE64.encode(&handlers::read(file)?);
        body[handler] = json!({ "component": component, "settings": settings });
    }
    hosts.server(host).admin("POST", "/v1/releases")?.json(body.to_string()).send().await
}

/// The version of `events` that a host runs.
async fn events(hosts: &Hosts, host: usize) -> TestResult<String> {
    active(hosts.server(host), "events").await
}

/// What became of the releases: the number, how each came about and its outcome, a line each.
pub(super) fn history(hosts: &Hosts) -> TestResult<Vec<String>> {
    let rows = hosts.database().sql("SELECT id || ' ' || how || ' ' || outcome FROM release ORDER BY id")?;
    Ok(rows.lines().map(ToOwned::to_owned).collect())
}

#[tokio::test]
async fn a_deploy_on_one_host_is_active_on_all_before_it_is_answered() -> TestResult {
    let Some(mut hosts) = operated().await? else { return Ok(()) };
    let mut members = Vec::new();
    for host in 0..3 {
        let room = hosts.server(host).create_room("lobby").await?;
        members.push(hosts.server(host).join(room, "ann").await?);
        assert_eq!(hosts.home(room).await?, host);
    }
    let answer = hosts.server(0).upload("events", guest("shouting_events")).await?.expect(200)?;
    assert_eq!((&answer["release"], &answer["hosts"]), (&json!(2), &json!(["a", "b", "c"])));
    for member in &mut members {
        member.say("hi").await?;
        member.expect_message("HI").await?;
    }
    // A host that comes later begins with it.
    let later = hosts.add().await?;
    let room = hosts.server(later).create_room("another").await?;
    members.push(hosts.server(later).join(room, "ann").await?);
    let answer = hosts.server(1).admin("POST", "/v1/rollback")?.send().await?.expect(200)?;
    assert_eq!((&answer["release"], &answer["hosts"]), (&json!(3), &json!(["a", "b", "c", "d"])));
    for member in &mut members {
        member.say("hi").await?;
        member.expect_message("hi").await?;
    }
    assert_eq!(history(&hosts)?, ["1 first replaced", "2 deploy rolled_back", "3 rollback active"]);
    Ok(())
}

#[tokio::test]
async fn a_host_that_cannot_compile_a_version_rejects_the_deploy_by_its_name() -> TestResult {
    let Some(hosts) = Hosts::start_with(1, Setup::admin).await? else { return Ok(()) };
    let large = guest("relaying_messages");
    let limit = handlers::read(&large)?.len() as u64 - 1;
    assert!(handlers::read(&standard("messages"))?.len() as u64 <= limit, "the default handler is as large");
    let small = hosts.setup("b", "test").limit("handler_file_bytes_max", limit).start().await?;
    let before = active(hosts.server(0), "messages").await?;
    let detail = hosts.server(0).upload("messages", &large).await?.expect_detail(422, "refused")?;
    let (name, bound) = ("host b cannot prepare it: messages: ", format!("handler_file_bytes_max = {limit}"));
    assert!(detail.contains(name) && detail.contains(&bound), "{detail}");
    for server in [hosts.server(0), &small] {
        assert_eq!(active(server, "messages").await?, before);
        let row = asked(server, "/v1/releases?limit=1").await?[0].clone();
        assert_eq!(row["outcome"], "refused");
        assert!(row["detail"].as_str().is_some_and(|detail| detail.contains(name)), "{row}");
    }
    let answer = hosts.server(0).upload("events", guest("shouting_events")).await?.expect(200)?;
    assert_eq!(answer["hosts"], json!(["a", "b"]));
    Ok(())
}

/// Waits until a host knows of the other one.
async fn knows_both(server: &TestServer) -> TestResult {
    until("both hosts in the status", async || {
        let status = server.admin("GET", "/v1/cluster").ok()?.send().await.ok()?.json();
        (status["hosts"].as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_host_that_does_not_answer_in_time_rejects_the_deploy_by_its_name() -> TestResult {
    let furnish = |setup: Setup| setup.admin().limit("deploy_agree_ms", 1_000);
    let Some(hosts) = Hosts::start_with(2, furnish).await? else { return Ok(()) };
    knows_both(hosts.server(0)).await?;
    hosts.freeze(1)?;
    let answer = hosts.server(0).upload("events", guest("shouting_events")).await?;
    hosts.thaw(1)?;
    let detail = answer.expect_detail(422, "refused")?;
    assert!(detail.contains("host b has not answered within deploy_agree_ms = 1000"), "{detail}");
    assert_eq!(history(&hosts)?, ["1 first active", "2 deploy refused"]);
    Ok(())
}

#[tokio::test]
async fn a_deploy_waits_for_no_host_that_dies() -> TestResult {
    let Some(hosts) = operated().await? else { return Ok(()) };
    hosts.freeze(2)?;
    let answer = hosts.server(0).upload("events", guest("shouting_events")).await?.expect(200)?;
    assert_eq!(answer["hosts"], json!(["a", "b"]));
    assert_eq!(hosts.state_of(2)?, "dead");
    Ok(())
}

#[tokio::test]
async fn a_deploying_host_that_is_killed_before_it_records_changes_nothing() -> TestResult {
    let Some(mut hosts) = operated().await? else { return Ok(()) };
    let before = events(&hosts, 1).await?;
    // The deploy waits for this one.
    hosts.freeze(2)?;
    let mark = hosts.server(1).log().mark();
    let deploying = hosts.server(0).upload("events", guest("shouting_events"));
    let prepared = async {
        hosts.server(1).log().line_since(mark, &["what host", "is about to make active is prepared"]).await?;
        hosts.server(0).signal("KILL")
    };
    let (answer, killed) = tokio::join!(deploying, prepared);
    killed?;
    hosts.thaw(2)?;
    assert!(answer.is_err(), "{answer:?}");
    hosts.exit(0).await?;
    until("a killed host that is gone", async || hosts.state_of(0).is_ok_and(|state| state == "dead").then_some(()))
        .await?;
    for host in [1, 2] {
        assert_eq!(events(&hosts, host).await?, before);
    }
    assert_eq!(history(&hosts)?, ["1 first active"]);
    hosts.restart(0).await?;
    let answer = hosts.server(1).upload("events", guest("shouting_events")).await?.expect(200)?;
    assert_eq!((&answer["release"], &answer["hosts"]), (&json!(2), &json!(["a", "b", "c"])));
    Ok(())
}

#[tokio::test]
async fn of_two_deploys_at_once_one_is_rejected_and_none_is_lost() -> TestResult {
    let Some(hosts) = operated().await? else { return Ok(()) };
    let (events, messages) = (guest("shouting_events"), guest("relaying_messages"));
    let [at_a, at_b]: [[Part<'_>; 1]; 2] = [[("events", &events, json!({}))], [("messages", &messages, json!({}))]];
    // Both are agreed on at the same time: they wait for a third host.
    let both = async |expected: Option<u64>| {
        let marks = [0, 1].map(|host| hosts.server(host).log().mark());
        hosts.freeze(2)?;
        let prepared = async {
            for (host, mark) in marks.into_iter().enumerate() {
                hosts.server(host).log().line_since(mark, &["is about to make active is prepared"]).await?;
            }
            hosts.thaw(2)
        };
        let (a, b) = (deploy(&hosts, 0, &at_a, expected), deploy(&hosts, 1, &at_b, expected));
        let (a, b, prepared) = tokio::join!(a, b, prepared);
        prepared?;
        TestResult::Ok([a?, b?])
    };
    let mut answers = both(Some(1)).await?;
    answers.sort_by_key(|answer| answer.status);
    let [won, lost] = answers;
    assert_eq!(won.expect(200)?["release"], 2);
    let detail = lost.expect_detail(409, "overtaken")?;
    assert!(detail.contains("aimed at release 1, and release 2 is active"), "{detail}");
    assert_eq!(history(&hosts)?, ["1 first replaced", "2 deploy active", "3 deploy refused"]);
    let first = asked(hosts.server(2), "/v1/status").await?["release"]["versions"].clone();
    for host in 0..3 {
        assert_eq!(asked(hosts.server(host), "/v1/status").await?["release"]["versions"], first);
    }
    // Over whichever release is active, both become active.
    hosts.server(2).admin("POST", "/v1/rollback")?.send().await?.expect(200)?;
    let before = asked(hosts.server(2), "/v1/status").await?["release"]["versions"].clone();
    for answer in both(None).await? {
        answer.expect(200)?;
    }
    let outcomes: Vec<_> = history(&hosts)?.into_iter().skip(3).collect();
    assert_eq!(outcomes, ["4 rollback replaced", "5 deploy replaced", "6 deploy active"]);
    for host in 0..3 {
        let after = asked(hosts.server(host), "/v1/status").await?["release"]["versions"].clone();
        assert!(after["events"] != before["events"] && after["messages"] != before["messages"], "{after}");
    }
    Ok(())
}

#[tokio::test]
async fn hosts_that_start_for_the_first_time_at_once_record_one_release() -> TestResult {
    let Some(hosts) = Hosts::start_with(0, Setup::admin).await? else { return Ok(()) };
    let setups = ["a", "b", "c"].map(|host| hosts.setup(host, "test").start());
    let servers = futures_util::future::try_join_all(setups).await?;
    assert_eq!(history(&hosts)?, ["1 first active"]);
    for server in &servers {
        assert_eq!(asked(server, "/v1/status").await?["release"]["release"], 1);
    }
    Ok(())
}

#[tokio::test]
async fn the_same_files_on_all_hosts_are_one_release() -> TestResult {
    let Some(hosts) = operated().await? else { return Ok(()) };
    let (bytes, before) = (handlers::read(&guest("shouting_events"))?, events(&hosts, 0).await?);
    let file = hosts.database().sql("SELECT DISTINCT sha256 FROM directory WHERE handler = 'events'")?;
    for host in 0..3 {
        handlers::place(&hosts.server(host).handlers(), "events", &bytes)?;
    }
    until("the new version on all hosts, each of which has taken its file", async || {
        let taken = format!(
            "SELECT count(DISTINCT host) || ' ' || count(DISTINCT sha256) FROM directory \
             WHERE handler = 'events' AND sha256 <> '{file}'"
        );
        (hosts.database().sql(&taken).ok()? == "3 1").then_some(())
    })
    .await?;
    assert_eq!(history(&hosts)?, ["1 first replaced", "2 directory active"]);
    for host in 0..3 {
        assert_ne!(events(&hosts, host).await?, before);
        let log = hosts.server(host).log().since(0).join("\n");
        assert!(!log.contains("rejected"), "{}: {log}", hosts.name(host));
    }
    Ok(())
}

#[tokio::test]
async fn a_rollback_needs_no_bus() -> TestResult {
    let Some(mut hosts) = operated().await? else { return Ok(()) };
    let before = events(&hosts, 0).await?;
    hosts.server(0).upload("events", guest("shouting_events")).await?.expect(200)?;
    hosts.bus()?.freeze()?;
    let rolled_back = hosts.server(1).admin("POST", "/v1/rollback")?.send();
    let answer = tokio::time::timeout(Duration::from_secs(20), rolled_back).await;
    until("the rollback on all hosts", async || {
        for host in 0..3 {
            (events(&hosts, host).await.ok()? == before).then_some(())?;
        }
        Some(())
    })
    .await?;
    hosts.bus()?.thaw()?;
    answer??.expect(200)?;
    Ok(())
}
