//! Where a handler failed: function, file and line for every kind of fault, where the component has debug information.

use std::fs;
use std::path::PathBuf;

use ondol_tests::{TestResult, TestServer, handlers, ondol};

/// The guest that is built with debug information.
fn failing() -> PathBuf {
    handlers::target().join("wasm32-wasip2/handler-debug/guest_failing_messages.wasm")
}

/// What each frame makes of the guest: the fault, and the function that failed.
const FAULTS: [(&str, &str, &str); 8] = [
    ("panic", "it panicked at tests/guests/failing-messages/src/lib.rs:", "fail_by_panic at "),
    ("trap", "`unreachable` instruction executed", "fail_by_trap at "),
    ("loop", "it ran past its deadline", "fail_by_loop at "),
    ("recursion", "it ran out of stack", "fail_by_recursion at "),
    ("memory", "it asked for more memory than allowed", "fail_by_memory at "),
    ("stranger", "the handler asked for user", "fail_by_stranger at "),
    ("bounds", "out of bounds memory access", "fail_by_bounds at "),
    ("exit", "Exited with i32 exit status 1", "fail_by_exit at "),
];

/// Leaves the other faults their time on a busy machine.
const PATIENT: &str = "handler_deadline_ms=3000";

/// Whether a line of an output names the function with its file and line.
fn has_place(output: &str, function: &str) -> bool {
    output.lines().any(|line| line.contains(function) && line.contains("failing-messages/src/lib.rs:"))
}

#[test]
fn call_tells_where_each_fault_happened() -> TestResult {
    for (frame, fault, function) in FAULTS {
        let arguments = format!(r#"[{{"id":"a","nickname":"a","email":"a@b.c"}},1,{{"text":"{frame}"}}]"#);
        let component = failing().display().to_string();
        let failed = ondol(&["call", &component, "messages.receive", &arguments, "--limit", PATIENT])?;
        failed.expect_parts(1, &[fault, function])?;
        assert!(has_place(&failed.stderr, function), "{frame}: {}", failed.stderr);
    }
    Ok(())
}

#[test]
fn test_and_check_tell_it_as_well() -> TestResult {
    let home = tempfile::tempdir()?;
    let (component, cases) = (failing().display().to_string(), home.path().join("cases.toml").display().to_string());
    for (frame, fault, function) in FAULTS {
        // Once an answer is expected, and once another fault.
        for expectation in ["returns = 'ignore'", "traps = 'a fault of another kind'"] {
            let arguments = format!("[{{id = 'a', nickname = 'a', email = 'a@b.c'}}, 1, {{text = '{frame}'}}]");
            let call = "call = 'messages.receive'";
            fs::write(&cases, format!("[[case]]\nname = 'x'\n{call}\nargs = {arguments}\n{expectation}\n"))?;
            let tested = ondol(&["test", &component, "--cases", &cases, "--limit", PATIENT])?;
            tested.expect_parts(1, &[fault, function])?;
            assert!(has_place(&tested.stdout, function), "{frame}: {}", tested.stdout);
        }
        let (given, with) = (format!("messages={component}"), format!("messages={cases}"));
        let checked = ondol(&["check", &given, "--cases", &with, "--limit", PATIENT])?;
        checked.expect_parts(1, &["the case \"x\"", fault])?;
        assert!(has_place(&checked.stdout, function), "{frame}: {}", checked.stdout);
    }
    Ok(())
}

#[tokio::test]
async fn a_server_tells_it_as_well() -> TestResult {
    let server =
        TestServer::setup().admin().flag("--limit").flag(PATIENT).handler("messages", failing()).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for (frame, fault, function) in FAULTS {
        ann.send(frame).await?;
        ann.expect_error("handler_fault").await?;
        let status = ondol(&["handlers", "status", "--admin", server.admin_address()?])?;
        status.expect_parts(0, &[fault, function, "failing-messages/src/lib.rs:"])?;
    }
    Ok(())
}
