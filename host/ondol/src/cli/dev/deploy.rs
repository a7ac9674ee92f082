//! Makes a version active in a server, by its admin API, and reports what came of it.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::project::Build;
use super::report;
use crate::cli::handlers::observing;
use crate::http::client::{AdminRequest, AdminServer, send};
use ondol_host_handlers::HandlerKind;

/// How often a server is asked that is coming up.
const INTERVAL: Duration = Duration::from_millis(20);

/// How long a server that is away is left alone.
const AWAY: Duration = Duration::from_secs(1);

/// Deploys a version that was saved at `saved`.
pub(super) fn deploy(server: &AdminServer, build: &Build, saved: Instant) {
    match request(server, "POST", "/v1/releases", Some(body(build))) {
        Ok((status, answer)) => show(build, status, &answer, saved),
        Err(error) => report(&format!("{error:#}")),
    }
}

/// Deploys a version once its server answers.
pub(super) fn once_up(server: &AdminServer, build: &Build, longest: Duration) {
    let begun = Instant::now();
    while request(server, "GET", "/v1/status", None).is_err() && begun.elapsed() < longest {
        thread::sleep(INTERVAL);
    }
    deploy(server, build, begun);
}

/// Prints what a handler prints in a running server, and its faults, for ever. A server that is away is asked again.
pub(super) fn follow_lines(server: &AdminServer, handler: HandlerKind) -> ! {
    loop {
        let last = request(server, "GET", "/v1/logs?lines=0", None)
            .map(|(_, answer)| answer.get("last").and_then(Value::as_u64));
        if let (Ok(Some(last)), Ok(runtime)) = (last, runtime()) {
            let show = |line: &Value| {
                if line.get("handler").and_then(Value::as_str) == Some(handler.name()) {
                    eprintln!("{}", observing::describe(line));
                }
            };
            // It ends when the server does.
            let _ = runtime.block_on(observing::follow_lines(server, last, show));
        }
        thread::sleep(AWAY);
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn request(
    server: &AdminServer,
    method: &'static str,
    target: &str,
    body: Option<Value>,
) -> anyhow::Result<(u16, Value)> {
    runtime()?.block_on(send(server, AdminRequest { method, target: target.to_owned(), body, actor: None }))
}

fn body(build: &Build) -> Value {
    let mut part = Map::new();
    part.insert("component".to_owned(), data_encoding::BASE64.encode(&build.wasm).into());
    part.insert("settings".to_owned(), json!(build.settings));
    if let Some(cases) = &build.cases {
        part.insert("cases".to_owned(), cases.as_str().into());
    }
    json!({ "reason": "ondol dev", build.handler.name(): part })
}

fn show(build: &Build, status: u16, answer: &Value, saved: Instant) {
    let handler = build.handler;
    if status < 300 {
        let release = answer.get("release").and_then(Value::as_u64).unwrap_or_default();
        if answer.get("changed").and_then(Value::as_bool) == Some(true) {
            let seconds = saved.elapsed().as_secs_f64();
            report(&format!("{handler} is active (release {release}), {seconds:.1} s after the save"));
        } else {
            report(&format!("nothing changed: {handler} is active already (release {release})"));
        }
        return;
    }
    let detail = answer.get("detail").and_then(Value::as_str).unwrap_or("no reason given");
    report(&format!("the server rejected it; the active version is unchanged: {detail}"));
    let error = answer.get("handlers").and_then(|handlers| handlers.get(handler.name()));
    let reasons = error.and_then(|error| error.get("reasons")).and_then(Value::as_array);
    reasons.into_iter().flatten().filter_map(Value::as_str).for_each(|reason| eprintln!("  {reason}"));
}
