//! Compilation in a process of its own, within limits of time and memory, while the chat continues.

use std::io::Write as _;
use std::process::{Command, Stdio};

use ondol_tests::command::binary;
use ondol_tests::system::{children, command_line, cpu_ms, scheduling_policy, status};
use ondol_tests::{TestResult, TestServer, guest, until};
use serde_json::json;

use super::admin::{post, refused};

/// A component around a core module whose functions only calculate: much to compile, and nothing to run.
pub(crate) fn sums(functions: u32, length: usize) -> Vec<u8> {
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

#[tokio::test]
async fn a_slow_compilation_is_stopped_and_holds_up_no_message() -> TestResult {
    // A server with the default limit puts the compiled code of what has to be ready in time into the cache.
    let patient = TestServer::setup().admin().start().await?;
    patient.upload("events", guest("shouting_events")).await?.expect(200)?;
    let server = TestServer::setup().admin().limit("handler_compile_ms_max", 500).start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    let slow = server.admin("POST", "/v1/handlers/events")?.body("application/wasm", sums(1_200, 1_000));
    let slow = tokio::spawn(slow.send());
    let child = until("a process that compiles", async || children(server.pid()).ok()?.pop()).await?;
    assert_eq!(scheduling_policy(child)?, 5, "it holds up others");
    ann.say("hello").await?;
    ann.expect_message("HELLO").await?;
    let reasons = refused(&slow.await??, "events", "compile")?;
    assert!(reasons.contains("handler_compile_ms_max = 500"), "{reasons}");
    assert!(children(server.pid())?.is_empty(), "the compiler still runs");
    ann.say("hi").await?;
    ann.expect_message("HI").await?;
    post(&server, "/v1/rollback", &json!({})).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_compilation_that_needs_too_much_memory_is_stopped() -> TestResult {
    let server = TestServer::setup().admin().limit("handler_compile_memory_bytes_max", 64 << 20).start().await?;
    let many = server.admin("POST", "/v1/handlers/events")?.body("application/wasm", sums(200_000, 1));
    let reasons = refused(&many.send().await?, "events", "compile")?;
    assert!(reasons.contains("handler_compile_memory_bytes_max = 67108864"), "{reasons}");
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    Ok(())
}

#[tokio::test]
async fn a_compiler_process_ends_with_its_server() -> TestResult {
    let server = TestServer::setup().admin().start().await?;
    let slow = server.admin("POST", "/v1/handlers/events")?.body("application/wasm", sums(1_200, 999));
    let slow = tokio::spawn(slow.send());
    // A compiler that has read the whole module.
    let child = until("a process that compiles", async || {
        children(server.pid()).ok()?.into_iter().find(|child| cpu_ms(*child).is_ok_and(|cpu| cpu > 300))
    });
    let child = child.await?;
    server.signal("KILL")?;
    assert!(slow.await?.is_err(), "a killed server does not answer");
    // Its CPU time tells: the whole work takes seconds of it, and any time on a busy machine.
    let (before, mut after) = (cpu_ms(child)?, 0);
    until("the compiler's end", async || {
        let alive = command_line(child).contains("compile");
        after = cpu_ms(child).ok().filter(|_| alive).unwrap_or(after);
        (!alive).then_some(())
    })
    .await?;
    assert!(after < before + 500, "{before} ms of CPU time, and {after} ms after the end of its server");
    Ok(())
}

/// The story starts the compiler itself: the server's may get no CPU time on a busy machine.
#[tokio::test]
async fn a_compiler_in_the_background_has_one_thread() -> TestResult {
    let mut compiler = Command::new(binary());
    compiler.args(["compile", "524288", "1073741824", "--giving-way"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut compiler = compiler.spawn()?;
    let mut input = compiler.stdin.take().expect("it has a pipe");
    let told = std::thread::spawn(move || input.write_all(&sums(1_200, 1_000)));
    let process = compiler.id();
    let threads =
        until("100 ms of CPU", async || (cpu_ms(process).ok()? >= 100).then_some(status(process, "Threads").ok()?));
    let threads = threads.await;
    compiler.kill()?;
    compiler.wait()?;
    // A killed compiler has not read everything.
    let _ = told.join();
    assert_eq!(threads?, 1);
    Ok(())
}
