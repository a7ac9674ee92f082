//! Compiling beside a chat that goes on: in a process of its own, for no longer than it may take.

use std::io::Write as _;
use std::process::{Command, Stdio};

use ondol_tests::command::binary;
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
    // The 41st field is the policy, 5 is SCHED_IDLE: it takes what nobody else wants.
    assert_eq!(child.rsplit_once(") ").and_then(|(_, fields)| fields.split(' ').nth(38)), Some("5"), "{child}");
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

#[tokio::test]
async fn compiling_takes_no_more_memory_than_it_may() -> TestResult {
    let server = TestServer::setup().admin().limit("handler_compile_memory_bytes_max", 64 << 20).start().await?;
    let many = server.admin("POST", "/v1/handlers/events")?.body("application/wasm", sums(200_000, 1));
    let reasons = refused(&many.send().await?, "events", "compile")?;
    assert!(reasons.contains("handler_compile_memory_bytes_max = 67108864"), "{reasons}");
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_compiler_ends_with_the_server_that_asked_it() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let slow = server.admin("POST", "/v1/handlers/events")?.body("application/wasm", sums(1_200, 999));
    let slow = tokio::spawn(slow.send());
    let child = until("a process that compiles", async || children(server.pid()).ok()?.pop()).await?;
    let child = child.split(' ').next().unwrap_or_default().to_owned();
    server.signal("KILL")?;
    assert!(slow.await?.is_err(), "nobody answers");
    until("its end", async || {
        let words = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        (!words.contains("compile")).then_some(())
    })
    .await
}

/// Not the server's compiler: on a busy machine that one may get no CPU.
#[tokio::test]
async fn a_compiler_that_gives_way_is_one_thread() -> TestResult {
    let mut compiler = Command::new(binary());
    compiler.args(["compile", "524288", "1073741824", "--giving-way"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut compiler = compiler.spawn()?;
    let mut input = compiler.stdin.take().expect("it has a pipe");
    let told = std::thread::spawn(move || input.write_all(&sums(1_200, 1_000)));
    let process = compiler.id();
    let threads = until("100 ms of CPU", async || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let field = |number: usize| stat.rsplit_once(") ")?.1.split(' ').nth(number - 3)?.parse::<u64>().ok();
        // The 14th is the CPU time in hundredths of a second, the 20th the number of threads: see proc_pid_stat(5).
        (field(14)? >= 10).then_some(field(20)?)
    });
    let threads = threads.await;
    compiler.kill()?;
    compiler.wait()?;
    // Who is killed has not read all.
    let _ = told.join();
    assert_eq!(threads?, 1);
    Ok(())
}
