//! The command line: the output and the exit status of each command.

use std::{fs, path::Path, process::Command};

use ondol_tests::{
    TestResult,
    command::{self, Output, ondol_with},
    guest, handlers, ondol, standard,
};
use serde_json::{Value, json};

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Runs `ondol check` on the shipped handlers, with a config of these lines.
fn check(config: &str, environment: &[(&str, &str)]) -> TestResult<Output> {
    let home = tempfile::tempdir()?;
    let file = home.path().join("ondol.toml");
    fs::write(&file, config)?;
    let data = text(&home.path().join("data"));
    let shipped = text(&handlers::target().join("handlers"));
    ondol_with(&["check", "--config", &text(&file), "--data", &data, "--handlers", &shipped], environment)
}

#[test]
fn a_closed_pipe_is_no_crash() -> TestResult {
    let mut printing = Command::new(command::binary())
        .args(["check", "--limits"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    drop(printing.stdout.take());
    let ended = printing.wait_with_output()?;
    assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

#[test]
fn help_shows_every_command() -> TestResult {
    let help = ondol(&["--help"])?;
    help.expect_parts(0, &["serve", "check", "handlers", "inspect", "call", "test", "replay", "--help", "--version"])?;
    assert!(help.stderr.is_empty(), "{}", help.stderr);
    ondol(&["--version"])?.expect_parts(0, &[concat!("ondol ", env!("CARGO_PKG_VERSION"))])
}

#[test]
fn every_command_has_a_help() -> TestResult {
    ondol(&["serve", "--help"])?.expect_parts(0, &["--listen", "--data", "--handlers", "--config", "--limit"])?;
    ondol(&["check", "--help"])?.expect_parts(0, &["--handlers", "--config"])?;
    ondol(&["handlers", "--help"])?.expect_parts(0, &["list", "deploy", "rollback", "history", "status", "diff"])?;
    ondol(&["inspect", "--help"])?.expect_parts(0, &["--output", "json"])?;
    ondol(&["compose", "--help"])?.expect_parts(0, &["--output", "word-filter"])?;
    ondol(&["call", "--help"])?.expect_parts(0, &["--setting", "messages.receive"])?;
    ondol(&["replay", "--help"])?.expect_parts(0, &["--data", "--against", "--room", "--last", "--show"])?;
    ondol(&["test", "--help"])?.expect_parts(0, &["--cases", "--filter", "--output"])
}

#[test]
fn wrong_usage_exits_with_two() -> TestResult {
    for words in [&["nonsense"][..], &["serve", "--nonsense"], &["inspect"], &["call", "x.wasm"]] {
        let output = ondol(words)?;
        output.expect(2)?;
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{words:?}: {output:?}");
    }
    Ok(())
}

#[test]
fn check_accepts_the_shipped_files() -> TestResult {
    check("", &[])?.expect_parts(0, &["rooms", "messages", "events"])
}

#[test]
fn check_names_the_nearest_key_and_its_line() -> TestResult {
    let output = check("lisen = \"127.0.0.1:1\"\n\n[limits]\nframe_byte_max = 1\n", &[])?;
    output.expect_parts(1, &["lisen", "listen", "frame_byte_max", "frame_bytes_max", "ondol.toml"])
}

#[test]
fn check_names_the_expected_and_the_given_value() -> TestResult {
    check("refusal = \"shout\"", &[])?.expect_parts(1, &["refusal", "http", "close", "shout"])?;
    check("[limits]\nframe_bytes_max = \"many\"", &[])?.expect_parts(1, &["frame_bytes_max", "many"])?;
    check("[limits]\nframe_bytes_max = 0", &[])?.expect_parts(1, &["frame_bytes_max"])?;
    check("nonsense", &[])?.expect_parts(1, &["ondol.toml"])
}

#[test]
fn check_reads_the_environment() -> TestResult {
    check("", &[("ONDOL_FRAME_BYTES_MAX", "many")])?.expect_parts(1, &["ONDOL_FRAME_BYTES_MAX", "many"])?;
    check("", &[("ONDOL_FRAME_BYTE_MAX", "1")])?.expect_parts(1, &["ONDOL_FRAME_BYTE_MAX", "ONDOL_FRAME_BYTES_MAX"])
}

#[test]
fn check_says_what_a_hardened_unit_denies() -> TestResult {
    // As MemoryDenyWriteExecute does: PR_SET_MDWE (65) with PR_MDWE_REFUSE_EXEC_GAIN, since Linux 6.3.
    let denying = "import ctypes, os, sys; sys.exit(77) if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) else os.execv(sys.argv[1], sys.argv[1:])";
    let under = |words: &[&str]| command::run(Command::new(words[0]).args(&words[1..]));
    let (program, shipped) = (text(&command::binary()), text(&handlers::target().join("handlers")));
    let check = [&*program, "check", "--handlers", &*shipped];
    match under(&[&["python3", "-c", denying], &check[..]].concat()) {
        Ok(denied) if denied.status != 77 => {
            denied.expect_parts(1, &["wrong  rooms", "MemoryDenyWriteExecute of a systemd unit has to be off"])?;
        }
        tried => {
            anyhow::ensure!(std::env::var_os("CI").is_none(), "python3 and Linux 6.3 are needed: {tried:?}");
            eprintln!("skipped: check_says_what_a_hardened_unit_denies: no python3, or a Linux before 6.3");
        }
    }
    under(&[&check[..], &["--data", "/proc/ondol"]].concat())?
        .expect_parts(1, &["wrong  data: /proc", "StateDirectory"])?;
    let few = ["sh", "-c", "ulimit -n 200; exec \"$@\"", "sh"];
    under(&[&few, &check[..]].concat())?.expect_parts(0, &["connections: 120 at once, with 200 open files"])?;
    let many = under(&[&few, &check[..], &["--limit", "connections_max=121"]].concat())?;
    many.expect_parts(1, &["connections_max = 121 needs 201 open files", "LimitNOFILE"])
}

#[test]
fn check_says_which_missing_handlers_have_a_fallback() -> TestResult {
    let home = tempfile::tempdir()?;
    let (file, empty) = (text(&home.path().join("ondol.toml")), text(home.path()));
    fs::write(&file, "failure = { messages = \"default\" }")?;
    let checked = ondol(&["check", "--config", &file, "--data", &empty, "--handlers", &empty])?;
    checked.expect_parts(1, &["wrong  rooms", "wrong  events", "messages: the server would start anyway"])?;
    assert!(!checked.stdout.contains("events: a server") && !checked.stdout.contains("rooms: a server"), "{checked:?}");
    Ok(())
}

#[test]
fn check_says_of_a_component_what_a_server_would() -> TestResult {
    let (messages, cases) =
        (text(&standard("messages")), text(&handlers::workspace().join("handlers/messages/cases.toml")));
    let (given, with) = (format!("messages={messages}"), format!("messages={cases}"));
    ondol(&["check", &given, "--cases", &with])?.expect_parts(0, &["fine   messages", "is version"])?;
    let wrong = ondol(&["check", &given, "--cases", &with, "--setting", "messages.text_length_max=none"])?;
    wrong.expect_parts(1, &["wrong  messages", "text_length_max", "(in ", "ondol:chat/messages@0.2.0#receive)"])?;
    let other = ondol(&["check", &format!("events={messages}"), &given])?;
    other.expect_parts(1, &["it does not export ondol:chat/events@0.2.0", "fine   messages"])?;
    ondol(&["check", &given, "--limit", "handler_file_bytes_max=10000"])?
        .expect_parts(2, &["handler_file_bytes_max"])?;
    ondol(&["check", "--cases", &with])?.expect_parts(2, &["give messages=FILE"])?;
    ondol(&["check", "doors=x.wasm"])?.expect_parts(2, &["doors"])
}

#[test]
fn check_reports_how_the_admin_api_is_protected() -> TestResult {
    check("admin = \"127.0.0.1:0\"", &[])?.expect_parts(0, &["admin", "without a token"])?;
    check("admin = \"0.0.0.0:0\"", &[])?.expect_parts(1, &["admin_token_file"])?;
    check("admin = \"0.0.0.0:0\"", &[("ONDOL_ADMIN_TOKEN", "secret")])?.expect_parts(0, &["with a token"])?;
    check("admin = \"somewhere\"", &[])?.expect_parts(1, &["unix:", "somewhere"])
}

#[test]
fn check_reports_what_is_wrong_with_each_handler() -> TestResult {
    let home = tempfile::tempdir()?;
    fs::copy(standard("rooms"), home.path().join("rooms.wasm"))?;
    fs::copy(guest("needy"), home.path().join("messages.wasm"))?;
    let output = ondol(&["check", "--handlers", &text(home.path()), "--data", &text(&home.path().join("data"))])?;
    output.expect_parts(1, &["example:missing/one", "example:missing/two", "events.wasm"])
}

#[test]
fn check_creates_no_database() -> TestResult {
    let home = tempfile::tempdir()?;
    let data = home.path().join("data");
    let shipped = text(&handlers::target().join("handlers"));
    ondol(&["check", "--handlers", &shipped, "--data", &text(&data)])?.expect(0)?;
    assert!(!data.join("ondol.db").exists());
    Ok(())
}

#[test]
fn inspect_names_the_interfaces_of_a_component() -> TestResult {
    let output = ondol(&["inspect", &text(&standard("messages"))])?;
    output.expect_parts(0, &["ondol:chat/messages@0.2.0", "ondol:chat/settings@0.2.0", "message-handler"])
}

#[test]
fn inspect_names_every_missing_import() -> TestResult {
    let output = ondol(&["inspect", &text(&guest("needy"))])?;
    let all = format!("{}{}", output.stdout, output.stderr);
    for part in ["example:missing/one", "example:missing/two"] {
        assert!(all.contains(part), "no {part:?} in {all}");
    }
    Ok(())
}

#[test]
fn inspect_prints_json() -> TestResult {
    let output = ondol(&["inspect", &text(&standard("rooms")), "--output", "json"])?;
    output.expect(0)?;
    let value: Value = serde_json::from_str(&output.stdout)?;
    assert!(value.is_object() && output.stdout.contains("ondol:chat/rooms@0.2.0"), "{}", output.stdout);
    Ok(())
}

#[test]
fn inspect_recognizes_files_that_are_not_components() -> TestResult {
    let home = tempfile::tempdir()?;
    for (bytes, part) in [
        (&b"\0asm\x01\0\0\0"[..], "core module"),
        (b"(component)", "text"),
        (b"", "empty"),
        (b"\x7fELF\x02\x01\x01\0", "compiled"),
    ] {
        let file = home.path().join("file.wasm");
        fs::write(&file, bytes)?;
        let all = ondol(&["inspect", &text(&file)])?.expect(1)?;
        assert!(all.contains(part), "no {part:?} in {all}");
    }
    ondol(&["inspect", &text(&home.path().join("nowhere.wasm"))])?.expect_parts(2, &["nowhere.wasm"])
}

const ANN: &str = r#"{"id": "u1", "nickname": "민지", "email": "minji@example.com", "profile-url": null}"#;

/// Calls the shipped messages handler.
fn receive(frame: &str, more: &[&str]) -> TestResult<Output> {
    let arguments = format!("[{ANN}, 1, {frame}]");
    let file = text(&standard("messages"));
    let words = [&["call", &file, "messages.receive", &arguments][..], more].concat();
    ondol(&words)
}

#[test]
fn call_prints_the_answer_its_time_and_its_memory() -> TestResult {
    let output = receive(r#"{"text": "{\"type\":\"chat.message\",\"message\":\"안녕\"}"}"#, &[])?;
    output.expect(0)?;
    let answer: Value = serde_json::from_str(&output.stdout)?;
    assert!(answer.to_string().contains(r#""text":"안녕""#), "{answer}");
    assert!(output.stderr.contains("µs") || output.stderr.contains("ms"), "{}", output.stderr);
    assert!(output.stderr.contains("KiB") || output.stderr.contains("MiB"), "{}", output.stderr);
    Ok(())
}

#[test]
fn call_prints_a_refusal_as_an_answer() -> TestResult {
    receive(r#"{"text": "[]"}"#, &[])?.expect_parts(0, &["not_an_object"])
}

#[test]
fn call_applies_settings() -> TestResult {
    let frame = r#"{"text": "{\"type\":\"chat.message\",\"message\":\"여섯 글자!\"}"}"#;
    receive(frame, &["--setting", "text_length_max=5"])?.expect_parts(0, &["too_long"])
}

#[test]
fn call_exits_with_one_for_a_fault_and_with_two_for_wrong_usage() -> TestResult {
    let frame = r#"{"text": "{\"type\":\"chat.message\",\"message\":\"spin\"}"}"#;
    let arguments = format!("[{ANN}, 1, {frame}]");
    let spin = ondol(&["call", &text(&guest("spinning_messages")), "messages.receive", &arguments])?;
    spin.expect_parts(1, &["handler_deadline_ms"])?;
    receive("not json", &[])?.expect(2)?;
    receive(r#"{"text": 5}"#, &[])?.expect(2)?;
    ondol(&["call", &text(&standard("messages")), "messages.nothing", "[]"])?.expect_parts(2, &["receive"])
}

/// What the server counts as a fault is one for the tools as well.
#[test]
fn an_answer_that_breaks_the_contract_is_a_fault_for_call_test_and_check() -> TestResult {
    let (messages, events) = (text(&guest("hostile_messages")), text(&guest("hostile_events")));
    let event = r#"{"id":1,"room":1,"seq":1,"sender":{"id":"u1","nickname":"a","email":"a@example.com"},"text":"prose","client-id":null,"parent":null,"extra":null,"created-at":0}"#;
    let frame =
        |word: &str| format!(r#"[{ANN}, 1, {{"text": "{{\"type\":\"chat.message\",\"message\":\"{word}\"}}"}}]"#);
    for (file, call, arguments, reason) in [
        (&messages, "messages.receive", frame("prose"), "a payload is one JSON value"),
        (&messages, "messages.receive", frame("name"), "a client's id for a message has 1 to 64 characters, not 65"),
        (&events, "events.message", event.to_owned(), "a payload is one JSON value"),
    ] {
        ondol(&["call", file, call, &arguments])?.expect_parts(1, &["its answer breaks the contract", reason])?;
    }
    let home = tempfile::tempdir()?;
    let cases = home.path().join("cases.toml");
    let case = json!({
        "name": "prose", "call": "messages.receive", "args_json": frame("prose"), "returns": {"relay": "Once upon a time"},
    });
    fs::write(&cases, toml::to_string(&json!({ "case": [case] }))?)?;
    ondol(&["test", &messages, "--cases", &text(&cases)])?.expect_parts(1, &["its answer breaks the contract"])?;
    let check = ondol(&["check", &format!("messages={messages}"), "--cases", &format!("messages={}", text(&cases))])?;
    check.expect_parts(1, &["the case \"prose\"", "its answer breaks the contract"])
}

#[test]
fn call_accepts_a_single_argument_without_brackets() -> TestResult {
    let output = ondol(&["call", &text(&standard("rooms")), "rooms.create", r#"{"name": " 거실 "}"#])?;
    output.expect_parts(0, &["거실"])
}

#[test]
fn the_shipped_handlers_pass_their_cases() -> TestResult {
    for handler in handlers::HANDLERS {
        let cases = handlers::workspace().join(format!("handlers/{handler}/cases.toml"));
        ondol(&["test", &text(&standard(handler)), "--cases", &text(&cases)])?.expect(0)?;
    }
    Ok(())
}

const CASES: &str = r#"
[[case]]
name = "a name is trimmed"
call = "rooms.create"
args = [{ name = " lobby " }]
returns = { name = "lobby", standing = "reuse" }

[[case]]
name = "a blank one is taken"
call = "rooms.create"
args = [{ name = " " }]
returns = { name = "blank", standing = "reuse" }
"#;

#[test]
fn test_shows_how_a_case_differs_and_exits_with_one() -> TestResult {
    let home = tempfile::tempdir()?;
    let cases = home.path().join("cases.toml");
    fs::write(&cases, CASES)?;
    let (file, cases) = (text(&standard("rooms")), text(&cases));
    let output = ondol(&["test", &file, "--cases", &cases])?;
    output.expect_parts(1, &["a blank one is taken", "blank", "1 passed", "1 failed"])?;
    ondol(&["test", &file, "--cases", &cases, "--filter", "trimmed"])?.expect_parts(0, &["1 passed"])?;
    let json = ondol(&["test", &file, "--cases", &cases, "--output", "json"])?;
    json.expect(1)?;
    serde_json::from_str::<Value>(&json.stdout)?;
    Ok(())
}
