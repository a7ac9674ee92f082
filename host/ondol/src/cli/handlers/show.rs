//! Prints the admin API's responses.

use serde_json::Value;

use super::fields::{is_true, lines, number, object, pairs, short, text};
use super::{show_rollouts, show_settings};
use crate::config::AdminAddress;

/// A shorter wait for another deploy is not worth a line, in milliseconds.
const WAIT_SHOWN_MS: u64 = 1_000;

pub(super) fn status(status: &Value) {
    let ready = if is_true(status, "ready") { "ready" } else { "NOT READY" };
    println!("ondol {}: {ready}, up for {} s", text(status, "ondol"), number(status, "uptime_ms") / 1_000);
    if let Some(fault) = status.get("fault").and_then(Value::as_str) {
        println!("  {fault}");
    }
    if let Some(row) = object(status, "release") {
        release(row);
    }
    for (handler, row) in pairs(status.get("handlers")) {
        println!("{handler}");
        if is_true(row, "built_in") {
            println!("    no version: the built-in handler answers as fallback");
        } else {
            version(row);
        }
        faults(row);
    }
    show_rollouts::all(status);
}

pub(super) fn versions(handlers: &Value) {
    for (handler, rows) in pairs(Some(handlers)) {
        println!("{handler}");
        for row in rows.as_array().into_iter().flatten() {
            version(row);
        }
    }
}

pub(super) fn history(releases: &Value) {
    releases.as_array().into_iter().flatten().for_each(release);
}

/// The outcome of a deploy or a rollback.
pub(super) fn changed(change: &Value) {
    let release = number(change, "release");
    if is_true(change, "changed") {
        println!("release {release} is active");
    } else {
        println!("nothing changed: release {release} is already active");
    }
    for (handler, version) in pairs(change.get("versions")) {
        println!("  {handler} {}", short(version.as_str().unwrap_or_default()));
    }
    show_settings::changed(change);
    show_rollouts::ended(change);
    let hosts = lines(change, "hosts");
    if !hosts.is_empty() {
        println!("active on {}", hosts.join(", "));
    }
    match number(change, "waited_ms") {
        0..WAIT_SHOWN_MS => {}
        waited => println!("waited {} s for another deploy", waited.div_ceil(1_000)),
    }
}

/// The outcome of a deploy.
pub(super) fn deployed(change: &Value) {
    changed(change);
    match object(change, "probation") {
        Some(row) => show_rollouts::begun_probation(row),
        None if is_true(change, "changed") => println!("without probation"),
        None => {}
    }
}

/// The outcome of forgiving a version.
pub(super) fn forgiven(answer: &Value) {
    println!("version {} is no longer blocked", short(text(answer, "forgiven")));
}

pub(super) fn diff(diff: &Value) {
    for side in ["from", "to"] {
        println!("{side}");
        if let Some(row) = diff.get(side) {
            version(row);
        }
    }
    for part in ["exports", "imports"] {
        println!("{part}");
        let part = diff.get(part).unwrap_or(&Value::Null);
        let (removed, added) = (lines(part, "removed"), lines(part, "added"));
        removed.iter().for_each(|line| println!("  - {line}"));
        added.iter().for_each(|line| println!("  + {line}"));
        if removed.is_empty() && added.is_empty() {
            println!("  no difference");
        }
    }
    println!("settings");
    let settings = pairs(diff.get("settings"));
    if settings.is_empty() {
        println!("  no difference");
    }
    for (key, both) in settings {
        let side = |index: usize| match both.get(index).and_then(Value::as_str) {
            Some(value) => format!("{value:?}"),
            None => "not set".to_owned(),
        };
        println!("  {key}: {} → {}", side(0), side(1));
    }
}

/// Why a request failed, on standard error.
pub(in crate::cli) fn refusal(status: u16, answer: &Value, address: &AdminAddress) {
    let handlers = pairs(answer.get("handlers"));
    if handlers.is_empty() {
        eprintln!("ondol: {}", sentence(status, answer));
        if let Some(hint) = hint(status, answer, address) {
            eprintln!("  {hint}");
        }
        return;
    }
    eprintln!("ondol: deploy rejected; the active release is unchanged");
    for (handler, error) in handlers {
        eprintln!("  {handler} failed at the stage {:?}:", text(error, "stage"));
        lines(error, "reasons").iter().for_each(|reason| eprintln!("    {reason}"));
    }
}

/// What a reload led to.
pub(super) fn reloaded(answer: &Value) {
    let (live, restart, rejected) = (lines(answer, "live"), lines(answer, "restart"), pairs(answer.get("rejected")));
    if live.is_empty() && restart.is_empty() && rejected.is_empty() {
        println!("nothing has changed");
    }
    live.iter().for_each(|name| println!("{name}: changed"));
    restart.iter().for_each(|name| println!("{name}: needs a restart"));
    for (handler, reason) in rejected {
        println!("settings.{handler}: rejected, the active ones stay: {}", reason.as_str().unwrap_or_default());
    }
}

/// What the server says: of the request, else of one of its fields.
fn sentence(status: u16, answer: &Value) -> String {
    let detail = answer.get("detail").and_then(Value::as_str).map(str::to_owned);
    let fields = || {
        let reasons = pairs(Some(answer)).into_iter().flat_map(|(field, _)| lines(answer, field));
        Some(reasons.collect::<Vec<_>>().join(" ")).filter(|reasons| !reasons.is_empty())
    };
    detail.or_else(fields).unwrap_or_else(|| format!("status {status}: {answer}"))
}

/// What to do about it.
fn hint(status: u16, answer: &Value, address: &AdminAddress) -> Option<String> {
    match (status, text(answer, "code")) {
        // The admin API knows every path that a command asks for.
        (404, "not_found") if text(answer, "detail") == "Not found." => Some(format!(
            "{address} does not answer as the admin API: it may be the chat's port. --admin takes the address that \
             `ondol serve --admin` listens on"
        )),
        (401, _) => Some("give the right one with --token-file FILE, or in ONDOL_ADMIN_TOKEN".to_owned()),
        (409, "overtaken") => {
            Some("look at `ondol handlers history`, then deploy again; --anyway deploys nevertheless".to_owned())
        }
        (409, "marked_bad") => {
            Some("`ondol handlers forgive` lifts the block, --force deploys nevertheless".to_owned())
        }
        _ => None,
    }
}

fn version(row: &Value) {
    let active = if is_true(row, "active") { "*" } else { " " };
    let kibibytes = number(row, "bytes").div_ceil(1_024);
    println!("  {active} {}  {kibibytes} KiB  last active {}", short(text(row, "version")), text(row, "last_active"));
    for (key, value) in pairs(row.get("settings")) {
        println!("      {key} = {}", show_settings::shortened(value.as_str().unwrap_or_default()));
    }
    if let Some(evidence) = row.get("bad").and_then(Value::as_str) {
        println!("      blocked: {}", evidence.replace('\n', "\n        "));
    }
}

fn release(row: &Value) {
    let (at, outcome, how, who) = (text(row, "at"), text(row, "outcome"), text(row, "how"), text(row, "who"));
    println!("release {}  {at}  {outcome}", number(row, "release"));
    let target = row.get("back_to").and_then(Value::as_u64).map(|number| format!(" to release {number}"));
    let reason = |key: &str| match text(row, key) {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    // The reason for making a release and the reason for ending it are separate lines.
    println!("    {how}{} by {who}{}", target.unwrap_or_default(), reason("why"));
    if !text(row, "detail").is_empty() {
        println!("    {outcome}{}", reason("detail"));
    }
    let versions = pairs(row.get("versions")).into_iter();
    let versions =
        versions.map(|(handler, version)| format!("{handler} {}", short(version.as_str().unwrap_or_default())));
    println!("    {}", versions.collect::<Vec<_>>().join("  "));
    for event in row.get("events").and_then(Value::as_array).into_iter().flatten() {
        let (at, what, who) = (text(event, "at"), text(event, "what").replace('_', " "), text(event, "who"));
        println!("    {at}  {what} by {who}: {}", text(event, "detail"));
    }
}

/// What a handler failed at since the start, from its row in a status.
fn faults(row: &Value) {
    let Some(faults) = row.get("faults") else { return };
    println!("    faults since the start: {}", number(faults, "count"));
    for fault in faults.get("last").and_then(Value::as_array).into_iter().flatten() {
        print!("      {}  {} of {}", text(fault, "at"), text(fault, "function"), short(text(fault, "version")));
        if let Some(room) = fault.get("room").and_then(Value::as_u64) {
            print!(", room {room}");
        }
        if let Some(request) = fault.get("request_id").and_then(Value::as_str) {
            print!(", request {request}");
        }
        if let Some(trace) = fault.get("trace_id").and_then(Value::as_str) {
            print!(", trace {trace}");
        }
        println!(": {}", text(fault, "outcome"));
        println!("        {}", text(fault, "cause"));
        let backtrace = lines(fault, "backtrace");
        if !backtrace.is_empty() {
            println!("        in {}", backtrace.join(" < "));
        }
        lines(fault, "printed").iter().for_each(|line| println!("        printed: {line}"));
    }
}
