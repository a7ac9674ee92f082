//! The operator's API's answers, for people.

use serde_json::Value;

/// How many digits of a version people are shown.
const DIGITS: usize = 12;

pub(super) fn status(answer: &Value) {
    let ready = if answer.get("ready").and_then(Value::as_bool) == Some(true) { "ready" } else { "NOT READY" };
    let seconds = answer.get("uptime_ms").and_then(Value::as_u64).unwrap_or(0) / 1_000;
    println!("ondol {}: {ready}, up for {seconds} s", text(answer, "ondol"));
    if let Some(fault) = answer.get("fault").and_then(Value::as_str) {
        println!("  {fault}");
    }
    if let Some(row) = answer.get("release").filter(|row| row.is_object()) {
        release(row);
    }
    for (handler, row) in fields(answer.get("handlers")) {
        println!("{handler}");
        if row.get("built_in").and_then(Value::as_bool) == Some(true) {
            println!("    no version: the built-in handler answers in its place");
        } else {
            version(row);
        }
        faults(row);
    }
    super::trials::all(answer);
}

pub(super) fn versions(answer: &Value) {
    for (handler, rows) in fields(Some(answer)) {
        println!("{handler}");
        for row in rows.as_array().into_iter().flatten() {
            version(row);
        }
    }
}

pub(super) fn history(answer: &Value) {
    answer.as_array().into_iter().flatten().for_each(release);
}

pub(super) fn changed(answer: &Value) {
    let number = answer.get("release").and_then(Value::as_u64).unwrap_or(0);
    if answer.get("changed").and_then(Value::as_bool) == Some(true) {
        println!("release {number} is active");
    } else {
        println!("release {number} was active already: nothing has changed");
    }
    for (handler, version) in fields(answer.get("versions")) {
        println!("  {handler} {}", short(version.as_str().unwrap_or_default()));
    }
}

pub(super) fn diff(answer: &Value) {
    for side in ["from", "to"] {
        println!("{side}");
        if let Some(row) = answer.get(side) {
            version(row);
        }
    }
    for what in ["exports", "imports"] {
        println!("{what}");
        let lines = |sign: &str, key: &str| {
            let lines = answer.get(what).and_then(|lines| lines.get(key)).and_then(Value::as_array);
            let lines: Vec<&str> = lines.into_iter().flatten().filter_map(Value::as_str).collect();
            lines.iter().for_each(|line| println!("  {sign} {line}"));
            lines.len()
        };
        if lines("-", "removed") + lines("+", "added") == 0 {
            println!("  the same");
        }
    }
    println!("settings");
    let settings = fields(answer.get("settings"));
    if settings.is_empty() {
        println!("  the same");
    }
    for (key, both) in settings {
        let side = |index: usize| match both.get(index).and_then(Value::as_str) {
            Some(value) => format!("{value:?}"),
            None => "not set".to_owned(),
        };
        println!("  {key}: {} → {}", side(0), side(1));
    }
}

/// Why it was not done, on standard error.
pub(super) fn refusal(status: u16, answer: &Value) {
    let handlers = fields(answer.get("handlers"));
    if handlers.is_empty() {
        let detail = answer.get("detail").and_then(Value::as_str).map(str::to_owned);
        eprintln!("ondol: {}", detail.unwrap_or_else(|| format!("{status} {answer}")));
        return;
    }
    eprintln!("ondol: refused, what stood stands");
    for (handler, error) in handlers {
        eprintln!("  {handler}, at the step {:?}:", text(error, "stage"));
        for reason in error.get("reasons").and_then(Value::as_array).into_iter().flatten() {
            eprintln!("    {}", reason.as_str().unwrap_or_default());
        }
    }
}

fn version(row: &Value) {
    let active = if row.get("active").and_then(Value::as_bool) == Some(true) { "*" } else { " " };
    let bytes = row.get("bytes").and_then(Value::as_u64).unwrap_or(0).div_ceil(1_024);
    println!("  {active} {}  {bytes} KiB  last active {}", short(text(row, "version")), text(row, "last_active"));
    for (key, value) in fields(row.get("settings")) {
        println!("      {key} = {}", value.as_str().unwrap_or_default());
    }
    if let Some(evidence) = row.get("bad").and_then(Value::as_str) {
        println!("      marked as bad: {}", evidence.replace('\n', "\n        "));
    }
}

/// What a handler failed at, of a status.
fn faults(row: &Value) {
    let Some(faults) = row.get("faults") else { return };
    let lines = |fault: &Value, key: &str| -> Vec<String> {
        let lines = fault.get(key).and_then(Value::as_array).into_iter().flatten();
        lines.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    println!("    faults since the start: {}", faults.get("count").and_then(Value::as_u64).unwrap_or(0));
    for fault in faults.get("last").and_then(Value::as_array).into_iter().flatten() {
        print!("      {}  {} of {}", text(fault, "at"), text(fault, "function"), short(text(fault, "version")));
        if let Some(room) = fault.get("room").and_then(Value::as_u64) {
            print!(", room {room}");
        }
        if let Some(request) = fault.get("request_id").and_then(Value::as_str) {
            print!(", request {request}");
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

fn release(row: &Value) {
    let number = row.get("release").and_then(Value::as_u64).unwrap_or(0);
    let (at, outcome, how, who) = (text(row, "at"), text(row, "outcome"), text(row, "how"), text(row, "who"));
    println!("release {number}  {at}  {outcome}");
    let back_to = row.get("back_to").and_then(Value::as_u64).map(|number| format!(", back to {number}"));
    let because = |key: &str| match text(row, key) {
        "" => String::new(),
        reason => format!(", because: {reason}"),
    };
    // Why it was wanted and why it ended are often both a reason for a rollback: each stands with its own verb.
    println!("    wanted by {who}, {how}{}{}", back_to.unwrap_or_default(), because("why"));
    if !text(row, "detail").is_empty() {
        println!("    {outcome}{}", because("detail"));
    }
    let versions = fields(row.get("versions")).into_iter();
    let versions =
        versions.map(|(handler, version)| format!("{handler} {}", short(version.as_str().unwrap_or_default())));
    println!("    {}", versions.collect::<Vec<_>>().join("  "));
}

pub(super) fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn fields(value: Option<&Value>) -> Vec<(&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten().collect()
}

pub(super) fn short(version: &str) -> &str {
    version.get(..DIGITS).unwrap_or(version)
}
