//! Compiling beside a chat that goes on: in a process of its own, for no longer than it may take.

use ondol_tests::{TestResult, TestServer, guest, until};
use serde_json::json;

use super::admin::{post, refused};

/// A component around a core module whose functions do nothing but sums: much to compile, and nothing to run.
fn sums(functions: u32, length: usize) -> Vec<u8> {
    fn number(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }
    let section = |id: u8, body: Vec<u8>| [vec![id], number(body.len()), body].concat();
    // local.get 0, local.get 0, i32.const 77, i32.rotl, i32.mul, local.set 0
    let step = [0x20, 0, 0x20, 0, 0x41, 0xcd, 0, 0x77, 0x6c, 0x21, 0];
    let body = [vec![0], step.repeat(length), vec![0x20, 0, 0x0b]].concat();
    let function = [number(body.len()), body].concat();
    let count = number(functions as usize);
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, vec![1, 0x60, 1, 0x7f, 1, 0x7f]),
        section(3, [count.clone(), vec![0; functions as usize]].concat()),
        section(10, [count, function.repeat(functions as usize)].concat()),
    ];
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, module.concat())].concat()
}

/// The processes that another one has begun.
fn children(parent: u32) -> TestResult<Vec<String>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else { continue };
        // The name stands in brackets, then a state, then the parent.
        let after = stat.rsplit_once(") ").map(|(_, after)| after.split(' ').nth(1) == Some(&parent.to_string()));
        if after == Some(true) {
            children.push(stat);
        }
    }
    Ok(children)
}

#[tokio::test]
async fn compiling_takes_no_longer_than_it_may_and_holds_up_nobody() -> TestResult {
    let server = TestServer::setup().admin().limit("handler_compile_ms_max", 1_000).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    let slow = server.admin("POST", "/v1/handlers/events")?.body("application/wasm", sums(1_200, 1_000));
    let slow = tokio::spawn(slow.send());
    let child = until("a process that compiles", async || children(server.pid()).ok()?.pop()).await?;
    let child = child.split(' ').next().unwrap_or_default();
    until("that it takes what nobody else wants, and rests again and again", async || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).ok()?;
        let said = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        // The 41st field is the policy, 5 is SCHED_IDLE.
        let idle = stat.rsplit_once(") ")?.1.split(' ').nth(38)? == "5";
        (idle && said("Threads:")? == 1 && said("voluntary_ctxt_switches:")? > 20).then_some(())
    })
    .await?;
    ann.say("hello").await?;
    ann.expect_message("HELLO").await?;
    let reasons = refused(&slow.await??, "events", "compile")?;
    assert!(reasons.contains("handler_compile_ms_max = 1000"), "{reasons}");
    assert!(children(server.pid())?.is_empty(), "it was stopped");
    // Its compiler was stopped: the next one has the machine for itself.
    let other = server.admin("POST", "/v1/handlers/events")?.body("application/wasm", sums(1, 1)).send().await?;
    refused(&other, "events", "exports")?;
    ann.say("hi").await?;
    ann.expect_message("HI").await?;
    post(&server, "/v1/rollback", &json!({})).await?.expect(200)?;
    Ok(())
}
