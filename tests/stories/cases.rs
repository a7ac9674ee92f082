//! `ondol test` and `ondol call` as a handler's author uses them: what a case can expect, and how long calls take.

use std::{fs, path::Path, process::Command};

use ondol_tests::{
    TestResult,
    command::{self, Output},
    guest, ondol, standard,
};

const ANN: &str = r#"{ id = "ann", nickname = "ann", email = "ann@example.com" }"#;

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Runs a table of cases against a component.
fn test(component: &Path, cases: &str, more: &[&str]) -> TestResult<(Output, String)> {
    let home = tempfile::tempdir()?;
    let file = home.path().join("cases.toml");
    fs::write(&file, cases)?;
    let output = ondol(&[&["test", &text(component), "--cases", &text(&file)], more].concat())?;
    Ok((output, fs::read_to_string(&file)?))
}

/// A case of the default events handler's message, with this expectation.
fn event(expectation: &str) -> String {
    format!(
        r#"
[[case]]
name = "the event of a message"
call = "events.message"
args = [{{ id = 7, room = 1, seq = 3, sender = {ANN}, text = "hi", created_at = 1700000000000 }}]
{expectation}
"#
    )
}

#[test]
fn a_payload_is_compared_as_json() -> TestResult {
    let (whole, _) = test(&standard("events"), &event("returns = { anything = 1 }"), &[])?;
    whole.expect_parts(1, &["type: expected nothing", "got      \"chat.message\""])?;

    let spaced = r#"matches = '{ "seq" : 3,"type":  "chat.message" }'"#;
    let table = r#"matches = { type = "chat.message", seq = 3, message = "hi" }"#;
    let open = r#"matches = { seq = 3, created_at = "${anything}", sender = "${anything}" }"#;
    for expectation in [spaced, table, open] {
        test(&standard("events"), &event(expectation), &[])?.0.expect_parts(0, &["1 passed"])?;
    }
    for wrong in ["matches = { seq = 4 }", r#"matches = { colour = "${anything}" }"#] {
        test(&standard("events"), &event(wrong), &[])?.0.expect_parts(1, &["1 failed"])?;
    }
    Ok(())
}

#[test]
fn an_answer_is_matched_in_part() -> TestResult {
    let case = |expectation: &str| {
        format!(
            "[[case]]\nname = 'a message'\ncall = 'messages.receive'\nargs = [{ANN}, 1, {{ text = \
             '{{\"type\":\"chat.message\",\"message\":\"hi\",\"client_id\":\"c1\"}}' }}]\n{expectation}\n"
        )
    };
    let messages = standard("messages");
    test(&messages, &case("matches = { post = { text = 'hi' } }"), &[])?.0.expect_parts(0, &["1 passed"])?;
    test(&messages, &case("returns = { post = { text = 'hi' } }"), &[])?
        .0
        .expect_parts(1, &["post.client-id", "\"c1\""])?;
    test(&messages, &case("returns = { post = { text = 'hi', client_id = '${anything}' } }"), &[])?
        .0
        .expect_parts(0, &["1 passed"])?;
    let (typo, _) = test(&messages, &case("returns = { post = { txt = 'hi' } }"), &[])?;
    typo.expect_parts(1, &["cannot come", "txt"])
}

#[test]
fn steps_run_in_one_instance_one_after_another() -> TestResult {
    let step = |expectation: &str| {
        format!(
            "[[case.steps]]\ncall = 'messages.receive'\nargs = [{ANN}, 1, {{ text = \
             '{{\"type\":\"chat.message\",\"message\":\"hi\"}}' }}]\n{expectation}\n"
        )
    };
    let counted = |number: u8| step(&format!("matches = {{ post = {{ text = '{number}' }} }}"));
    let case = |steps: &[String]| format!("[[case]]\nname = 'it counts'\n{}", steps.concat());
    let counting = guest("counting_messages");
    test(&counting, &case(&[counted(1), counted(2), counted(3)]), &[])?.0.expect_parts(0, &["1 passed"])?;
    test(&counting, &case(&[counted(1), counted(7)]), &[])?.0.expect_parts(1, &["step 2 (messages.receive):"])?;
    test(&counting, "[[case]]\nname = 'x'\ncall = 'a.b'\n[[case.steps]]\ncall = 'a.b'\nreturns = 1\n", &[])?
        .0
        .expect_parts(2, &["has steps, and beside them call"])
}

#[test]
fn limits_on_memory_and_time_are_part_of_a_case() -> TestResult {
    let limited = |limit: &str| event(&format!("matches = {{ seq = 3 }}\n{limit}"));
    let events = standard("events");
    let fine = limited("memory_bytes_max = 16_777_216\ntime_ms_max = 10_000.0");
    test(&events, &fine, &[])?.0.expect_parts(0, &["1 passed", "cold", "warm"])?;
    test(&events, &limited("memory_bytes_max = 65_536"), &[])?
        .0
        .expect_parts(1, &["more than memory_bytes_max = 65536"])?;
    test(&events, &limited("time_ms_max = 0.0"), &[])?.0.expect_parts(1, &["more than time_ms_max = 0"])
}

#[test]
fn update_writes_what_came_and_keeps_the_rest() -> TestResult {
    let table = format!("# the author's words\n{}", event("matches = { seq = 4, created_at = \"${anything}\" }"));
    let (failed, updated) = test(&standard("events"), &table, &["--update"])?;
    failed.expect_parts(1, &["1 of 1 failed cases now expect what came"])?;
    assert_eq!(updated, table.replace("seq = 4", "seq = 3"));
    let (passed, same) = test(&standard("events"), &updated, &["--update"])?;
    passed.expect_parts(0, &["1 passed"])?;
    assert_eq!(same, updated);

    let trapping = format!(
        "[[case]]\nname = 'x'\ncall = 'events.message'\nargs = [{{ id = 7, room = 1, seq = 3, sender = {ANN}, text = 'trap', created_at = 1 }}]\nreturns = 1\n"
    );
    let (_, same) = test(&guest("trapping_events"), &trapping, &["--update"])?;
    assert_eq!(same, trapping, "a fault is never expected by itself");
    Ok(())
}

#[test]
fn junit_is_what_ci_servers_read() -> TestResult {
    let table = event("matches = { seq = 3 }") + &event("matches = { seq = 4 }").replace("the event", "<the> event");
    let (output, _) = test(&standard("events"), &table, &["--output", "junit"])?;
    output.expect_parts(
        1,
        &[
            r#"<testsuites name="ondol test" tests="2""#,
            r#"failures="1""#,
            r#"<testcase name="the event of a message" classname="events.message""#,
            "&lt;the&gt; event",
            "<failure",
        ],
    )
}

#[test]
fn call_takes_its_arguments_from_a_file_and_repeats() -> TestResult {
    let home = tempfile::tempdir()?;
    let file = home.path().join("arguments.json");
    fs::write(&file, r#"{"name": "방"}"#)?;
    let rooms = text(&standard("rooms"));
    let called = ondol(&["call", &rooms, "rooms.create", &format!("@{}", text(&file)), "--times", "100"])?;
    called.expect_parts(0, &["99 more calls in the same instance", "p50", "p99"])?;
    assert_eq!(called.stdout.lines().count(), 1, "the answer is printed once: {}", called.stdout);
    let piped = format!("'{}' call '{rooms}' rooms.create - <'{}'", command::binary().display(), text(&file));
    let piped = command::run(Command::new("sh").args(["-c", &piped]))?;
    assert_eq!((piped.status, piped.stdout), (0, called.stdout), "{}", piped.stderr);
    ondol(&["call", &rooms, "rooms.create", "@missing.json"])?.expect_parts(2, &["missing.json"])?;
    ondol(&["call", &rooms, "rooms.create", "{}", "--times", "0"])?.expect(2)?;
    Ok(())
}
