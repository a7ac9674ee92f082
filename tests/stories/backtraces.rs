//! Where a handler failed: function, file and line for every kind of fault, where the component has debug information.

use std::path::PathBuf;

use ondol_tests::{TestResult, TestServer, handlers, ondol};

/// The guest that is built with debug information.
fn failing() -> PathBuf {
    handlers::target().join("wasm32-wasip2/handler-debug/guest_failing_messages.wasm")
}

/// What each frame makes of the guest: the fault, and the function that failed.
const FAULTS: [(&str, &str, &str); 6] = [
    ("panic", "it panicked at tests/guests/failing-messages/src/lib.rs:", "fail_by_panic at "),
    ("trap", "`unreachable` instruction executed", "fail_by_trap at "),
    ("loop", "it ran past its deadline", "fail_by_loop at "),
    ("recursion", "it ran out of stack", "fail_by_recursion at "),
    ("memory", "it asked for more memory than allowed", "fail_by_memory at "),
    ("stranger", "the handler asked for user", "fail_by_stranger at "),
];

/// Leaves the other faults their time on a busy machine.
const PATIENT: &str = "handler_deadline_ms=3000";

#[test]
fn call_tells_where_each_fault_happened() -> TestResult {
    for (frame, fault, function) in FAULTS {
        let arguments = format!(r#"[{{"id":"a","nickname":"a","email":"a@b.c"}},1,{{"text":"{frame}"}}]"#);
        let component = failing().display().to_string();
        let failed = ondol(&["call", &component, "messages.receive", &arguments, "--limit", PATIENT])?;
        failed.expect_parts(1, &[fault, function])?;
        let place = failed.stderr.lines().find(|line| line.contains(function)).unwrap_or_default();
        assert!(place.contains("failing-messages/src/lib.rs:"), "{frame}: {}", failed.stderr);
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
