//! What is shipped for Prometheus, with its own tools and a real one that scrapes a server under load. Skipped by name where
//! Debian's package `prometheus` is missing, but not in CI.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use ondol_tests::{
    TestResult, TestServer,
    handlers::workspace,
    prometheus::{Metrics, Prometheus, is_installed},
    until,
};
use serde_json::{Value, json};

fn shipped(name: &str) -> TestResult<String> {
    Ok(fs::read_to_string(workspace().join("deploy/prometheus").join(name))?)
}

/// Runs promtool on a text.
fn promtool(arguments: &[&str], input: &str) -> TestResult {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn()?;
    process.stdin.take().context("no standard input")?.write_all(input.as_bytes())?;
    let output = process.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "promtool {arguments:?}: {}", String::from_utf8_lossy(&said));
    Ok(())
}

#[tokio::test]
async fn promtool_finds_nothing() -> TestResult {
    if !is_installed("promtool_finds_nothing", "promtool")? {
        return Ok(());
    }
    let directory = workspace().join("deploy/prometheus");
    for words in
        [["check", "rules", "alerts.yml"], ["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]]
    {
        let [verb, what, file] = words;
        promtool(&[verb, what, &directory.join(file).display().to_string()], "")?;
    }
    let server = TestServer::setup().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("hi").await?;
    ann.expect_message("hi").await?;
    promtool(&["check", "metrics"], Metrics::of(&server).await?.text())
}

/// Every query of the dashboard and every expression of the alerts, with a comparison made into a number: so that it has a
/// sample wherever there is something to compare.
fn queries() -> TestResult<Vec<String>> {
    let dashboard: Value = serde_json::from_str(&shipped("dashboard.json")?)?;
    let mut queries = Vec::new();
    collect(&dashboard, &mut queries);
    let alerts = shipped("alerts.yml")?;
    queries.extend(alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned));
    ensure!(queries.len() > 50, "only {} queries", queries.len());
    let whole = |query: String| {
        let query = query.replace("$__rate_interval", "10s").replace("$__range", "1m");
        let query = query.replace("$instance", ".*").replace("$handler", ".*");
        query.replace(" > ", " > bool ").replace(" == ", " == bool ")
    };
    Ok(queries.into_iter().map(whole).collect())
}

/// The queries below a value.
fn collect(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            queries.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| collect(field, queries));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, queries)),
        _ => {}
    }
}

#[tokio::test]
async fn every_query_of_dashboard_and_alerts_is_answered() -> TestResult {
    if !is_installed("every_query_of_dashboard_and_alerts_is_answered", "prometheus")? {
        return Ok(());
    }
    // A rate that is on has a series, even if nothing exceeds it.
    let rates = ["frames_per_connection_per_min", "frames_per_connection_burst"];
    let rates = rates.into_iter().chain(["messages_per_user_per_min", "messages_per_user_burst"]);
    let setup = rates.fold(TestServer::setup().admin(), |setup, rate| setup.limit(rate, 10_000_000));
    let server = setup.flag("--metrics").flag("127.0.0.1:0").start().await?;
    let address = server.startup().split("metrics=http://").nth(1).and_then(|rest| rest.split('/').next());
    let config = shipped("prometheus.yml")?.replace("127.0.0.1:8002", address.context("no address")?);
    let files = [("prometheus.yml", config.replace("15s", "1s")), ("alerts.yml", shipped("alerts.yml")?)];
    let prometheus = Prometheus::start(&files).await?;

    let room = server.create_room("lobby").await?;
    let (mut ann, mut ben) = (server.join(room, "ann").await?, server.join(room, "ben").await?);
    let settings = json!({ "text_length_max": 500 }).to_string();
    server.admin("PUT", "/v1/handlers/messages/settings")?.json(settings).send().await?.expect(200)?;
    for query in queries()? {
        until(format!("an answer to {query}"), async || {
            for text in ["one", "two", "three"] {
                ann.say(text).await.ok()?;
                ben.expect_message(text).await.ok()?;
            }
            match prometheus.query(&query).await {
                Ok(samples) => (!samples.is_empty()).then_some(Ok(())),
                Err(error) => Some(Err(error)),
            }
        })
        .await??;
    }
    // The alerts themselves were evaluated, and none fires at a server that is fine.
    let firing = prometheus.query("ALERTS{alertstate=\"firing\"}").await?;
    assert_eq!(firing, Vec::<Value>::new());
    Ok(())
}
