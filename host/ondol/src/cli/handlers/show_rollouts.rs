//! Prints probation, canary, shadow and blocked versions.

use serde_json::Value;

use super::fields::{lines, number, object, pairs, short, text};
use super::show_settings;

/// Everything that a status says about rollouts.
pub(super) fn all(status: &Value) {
    if let Some(row) = object(status, "probation") {
        probation(row);
    }
    status.get("earlier_probations").and_then(Value::as_array).into_iter().flatten().for_each(probation);
    if let Some(row) = object(status, "canary") {
        canary(row);
    }
    if let Some(row) = object(status, "shadow") {
        shadow(row);
    }
    for (version, evidence) in pairs(status.get("bad")) {
        let evidence = evidence.as_str().unwrap_or_default().replace('\n', "\n    ");
        println!("blocked version {}, deployable only with --force or after `forgive`\n    {evidence}", short(version));
    }
}

fn probation(row: &Value) {
    let seconds = number(row, "left_ms").div_ceil(1_000);
    let (release, calls, faults) = (number(row, "release"), number(row, "calls"), number(row, "faults"));
    let baseline = number(row, "back_to");
    println!(
        "release {release} is on probation for {seconds} s more, baseline release {baseline}: {calls} calls, {faults} \
         faults"
    );
    versions(row);
    if pairs(row.get("versions")).is_empty() {
        println!("    its versions are replaced; it goes on with one that a rollback makes active again");
    }
    warnings(row);
}

fn warnings(row: &Value) {
    lines(row, "warnings").iter().for_each(|warning| println!("    WARNING: {warning}"));
}

/// What a probation will do that has just begun.
pub(super) fn begun_probation(row: &Value) {
    let (seconds, baseline) = (number(row, "left_ms").div_ceil(1_000), number(row, "back_to"));
    let handlers: Vec<&str> = pairs(row.get("versions")).into_iter().map(|(handler, _)| handler.as_str()).collect();
    let handlers = handlers.join(" and ");
    let [times, floor, rollback] =
        ["slowdown_max", "slowdown_floor_ms", "slowdown_rollback_ms"].map(|key| number(row, key));
    println!("on probation for {seconds} s against release {baseline}");
    println!("  faults roll {handlers} back to it");
    println!(
        "  a median above {floor} ms and {times} times the baseline's is a warning, above {rollback} ms a rollback"
    );
}

/// What a command replaced or ended.
pub(super) fn ended(answer: &Value) {
    if let Some(row) = object(answer, "ended_canary") {
        print!("ended: ");
        canary(row);
    }
    if let Some(row) = object(answer, "ended_shadow") {
        print!("ended: ");
        shadow(row);
    }
    for release in answer.get("ended_probations").and_then(Value::as_array).into_iter().flatten() {
        println!("ended: the probation of release {release}");
    }
}

pub(super) fn started_canary(answer: &Value) {
    canary(answer);
    show_settings::changed(answer);
    ended(answer);
}

pub(super) fn canary(row: &Value) {
    let (percent, since, who) = (number(row, "percent"), text(row, "since"), text(row, "who"));
    println!("canary in {percent} % of rooms since {since}, by {who}");
    if !text(row, "why").is_empty() {
        println!("    reason: {}", text(row, "why"));
    }
    versions(row);
    if let Some(row) = object(row, "probation") {
        println!("    {} calls, {} faults", number(row, "calls"), number(row, "faults"));
        warnings(row);
    }
}

pub(super) fn shadow(row: &Value) {
    println!("shadow since {}", text(row, "since"));
    versions(row);
    let (calls, dropped) = (number(row, "calls"), number(row, "dropped"));
    let (differences, faults) = (number(row, "differences"), number(row, "faults"));
    println!("    {calls} calls: {differences} answered differently, {faults} faults; {dropped} calls not copied");
    for side in ["active", "shadow"] {
        let cost = |key: &str| row.get(side).and_then(|costs| costs.get(key)).and_then(Value::as_f64).unwrap_or(0.0);
        println!("    {side}: mean {} µs, p99 {} µs", cost("mean_us"), cost("p99_us"));
    }
    for difference in row.get("first_differences").and_then(Value::as_array).into_iter().flatten() {
        println!("    {} {}", text(difference, "function"), text(difference, "input"));
        println!("      - {}\n      + {}", text(difference, "active"), text(difference, "shadow"));
    }
}

fn versions(row: &Value) {
    for (handler, version) in pairs(row.get("versions")) {
        println!("    {handler} {}", short(version.as_str().unwrap_or_default()));
    }
}
