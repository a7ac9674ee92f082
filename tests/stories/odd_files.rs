//! Files that cannot be read, or only without end, in place of a handler. Each is reported, and nothing waits for it.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use ondol_tests::{TestResult, TestServer, guest, handlers, ondol, standard};
use serde_json::{Value, json};

/// The most memory that a file may cost a server.
const GROWTH_MAX: u64 = 64 << 20;

/// Puts an odd file in this place.
type Put = fn(&Path) -> TestResult;

fn sparse(path: &Path) -> TestResult {
    Ok(File::create(path)?.set_len(6 << 30)?)
}

fn endless(path: &Path) -> TestResult {
    Ok(symlink("/dev/zero", path)?)
}

fn fifo(path: &Path) -> TestResult {
    let status = Command::new("mkfifo").arg(path).status()?;
    assert!(status.success(), "no FIFO");
    Ok(())
}

fn directory(path: &Path) -> TestResult {
    Ok(fs::create_dir(path)?)
}

fn circle(path: &Path) -> TestResult {
    Ok(symlink("events.wasm", path)?)
}

/// Each kind, and a part of its report.
const ODD: [(Put, &str); 5] = [
    (sparse, "it is larger than handler_file_bytes_max = 33554432"),
    (endless, "it is a device, not a regular file"),
    (fifo, "it is a FIFO, not a regular file"),
    (directory, "it is a directory, not a regular file"),
    (circle, "Too many levels of symbolic links"),
];

#[tokio::test]
async fn an_odd_file_is_reported_once_and_can_be_replaced() -> TestResult {
    for (put, told) in ODD {
        let server = TestServer::start().await?;
        let before = server.memory()?;
        let mark = server.log().mark();
        let file = server.handlers().join("events.wasm");
        fs::remove_file(&file)?;
        put(&file)?;
        let line = server.log().line_since(mark, &["rejected, keeping", "handler=events"]).await?;
        assert!(line.contains(told) && line.contains("keeping version"), "{line}");
        // The change of another handler is noticed, and the odd file is not reported again.
        server.deploy("messages", guest("relaying_messages")).await?;
        let lines = server.log().since(mark);
        let about = lines.iter().filter(|line| line.contains("rejected, keeping")).count();
        assert_eq!(about, 1, "{lines:#?}");
        assert!(server.memory()? < before + GROWTH_MAX, "{told}: it took memory");

        if file.is_dir() {
            fs::remove_dir(&file)?;
        }
        server.deploy("events", guest("shouting_events")).await?;
        let room = server.create_room("lobby").await?;
        let mut ann = server.join(room, "ann").await?;
        ann.say("hi").await?;
        ann.expect_message("HI").await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_odd_file_at_the_start_is_an_error_unless_there_is_a_stored_release() -> TestResult {
    for (put, told) in ODD {
        let setup = TestServer::setup().without("events");
        let failed = setup.start_after(|home| put(&home.handlers().join("events.wasm"))).await;
        let why = format!("{:#}", failed.expect_err("it started"));
        assert!(why.contains("events.wasm: ") && why.contains(told), "{why}");

        let mut server = TestServer::start().await?;
        let file = server.handlers().join("events.wasm");
        server
            .restart_after(|| {
                fs::remove_file(&file)?;
                put(&file)
            })
            .await?;
        let line = server.wait_for_log("rejected, keeping").await?;
        assert!(line.contains("handler=events") && line.contains(told), "{line}");
        server.get("/readyz").await?.expect(200)?;
    }
    Ok(())
}

#[test]
fn commands_refuse_an_odd_file() -> TestResult {
    let home = tempfile::tempdir()?;
    let (odd, cases) = (home.path().join("odd"), home.path().join("cases.toml"));
    fs::write(&cases, "")?;
    let (odd_text, cases) = (odd.display().to_string(), cases.display().to_string());
    let events = standard("events").display().to_string();
    for (put, told) in [(endless as Put, "a device"), (fifo, "a FIFO"), (sparse, "handler_file_bytes_max")] {
        put(&odd)?;
        for words in [
            vec!["inspect", &odd_text],
            vec!["call", &odd_text, "events.message", "[]"],
            vec!["test", &odd_text, "--cases", &cases],
            vec!["handlers", "deploy", &format!("events={odd_text}"), "--admin", "127.0.0.1:1"],
        ] {
            ondol(&words)?.expect_parts(2, &[&odd_text, told])?;
        }
        ondol(&["test", &events, "--cases", &odd_text])?.expect(2)?;
        fs::remove_file(&odd)?;
    }
    Ok(())
}

/// A case of the default events handler.
const CASE: &str = r#"
[[case]]
name = "a join is announced"
call = "events.join"
args = [1, { id = "u1", nickname = "ann", email = "ann@example.com" }]
matches = { type = "chat.user.join" }
"#;

/// What each tool that runs without a server does with a component of the events handler, under these limits.
fn tools(component: &Path, limits: &[&str], expected: [(i32, &str); 4]) -> TestResult {
    let home = tempfile::tempdir()?;
    let cases = home.path().join("cases.toml");
    fs::write(&cases, CASE)?;
    let (file, cases) = (component.display().to_string(), cases.display().to_string());
    let (given, ann) = (format!("events={file}"), r#"[1, {"id": "u1", "nickname": "a", "email": "a@b.c"}]"#);
    let words = [
        vec!["inspect", &file],
        vec!["call", &file, "events.join", ann],
        vec!["test", &file, "--cases", &cases],
        vec!["check", &given],
    ];
    for (mut words, (status, part)) in words.into_iter().zip(expected) {
        words.extend(limits.iter().flat_map(|limit| ["--limit", limit]));
        ondol(&words)?.expect_parts(status, &[part]).with_context(|| words.join(" "))?;
    }
    Ok(())
}

#[test]
fn tools_refuse_what_is_larger_than_a_server_takes() -> TestResult {
    let home = tempfile::tempdir()?;
    let large = home.path().join("large.wasm");
    fs::write(&large, padded(handlers::read(&standard("events"))?, 33 << 20))?;
    tools(&large, &[], [(2, "larger than handler_file_bytes_max = 33554432"); 4])?;
    let fine = [(0, "event-handler (events.wasm): fits"), (0, "answered"), (0, "1 passed"), (0, "fine   events")];
    tools(&large, &["handler_file_bytes_max=33MiB"], fine)?;

    let why = "more than handler_memory_bytes_max = 65536";
    let fault = "more memory than allowed (handler_memory_bytes_max = 65536)";
    let little = [(1, why), (1, fault), (1, fault), (1, fault)];
    tools(&standard("events"), &["handler_memory_bytes_max=64KiB"], little)?;
    tools(&standard("events"), &["events.handler_memory_bytes_max=64KiB"], little)
}

/// A component that a custom section makes `length` bytes long.
fn padded(mut component: Vec<u8>, length: usize) -> Vec<u8> {
    // An id, a length of five bytes, and a name of one.
    let rest = length - component.len() - 6;
    let number = rest as u32;
    component.push(0);
    component.extend((0..4).map(|index| (number >> (7 * index)) as u8 | 0x80));
    component.push((number >> 28) as u8);
    component.extend([1, b'p']);
    component.resize(length, 0);
    component
}

#[tokio::test]
async fn new_content_of_the_same_size_and_time_behind_a_link_is_noticed() -> TestResult {
    let server = TestServer::start().await?;
    let elsewhere = tempfile::tempdir()?;
    let (far, next) = (elsewhere.path().join("far.wasm"), elsewhere.path().join("next.wasm"));
    let (one, other) = (handlers::read(&guest("shouting_events"))?, handlers::read(&standard("events"))?);
    let length = one.len().max(other.len()) + 100;
    let time = std::time::SystemTime::now();
    let put = |file: &Path, bytes: Vec<u8>| -> TestResult {
        fs::write(file, padded(bytes, length))?;
        Ok(File::options().append(true).open(file)?.set_modified(time)?)
    };
    put(&far, one)?;
    put(&next, other)?;
    let mark = server.log().mark();
    fs::remove_file(server.handlers().join("events.wasm"))?;
    symlink(&far, server.handlers().join("events.wasm"))?;
    server.active_since(mark, "events").await?;

    let mark = server.log().mark();
    fs::rename(&next, &far)?;
    server.active_since(mark, "events").await?;
    Ok(())
}

#[tokio::test]
async fn a_file_written_piece_by_piece_leaves_the_history_intact() -> TestResult {
    let setup = TestServer::setup().admin().limit("releases_kept_max", 10).env("ONDOL_LOG", "ondol=debug");
    let server = setup.start().await?;
    server.upload("messages", guest("relaying_messages")).await?.expect(200)?;
    let whole = handlers::read(&guest("shouting_events"))?;
    let file = server.handlers().join("events.wasm");
    let start = server.log().mark();
    for piece in 1..20 {
        let mark = server.log().mark();
        fs::write(&file, &whole[..whole.len() * piece / 20])?;
        // The watcher has looked: it waits for the rest, or rejects the file where the machine was busy for long.
        server.log().line_since(mark, &["handler=events"]).await?;
    }
    fs::write(&file, &whole)?;
    server.active_since(start, "events").await?;

    let history = server.admin("GET", "/v1/releases")?.send().await?.expect(200)?;
    let refused = history.as_array().unwrap().iter().filter(|release| release["outcome"] == "refused").count();
    // One rejection for each piece would be 19.
    assert!(refused < 10, "{history:#}");
    let back = async || server.admin("POST", "/v1/rollback")?.json("{}").send().await?.expect(200);
    for to in [2, 1] {
        back().await?;
        let status: Value = server.admin("GET", "/v1/releases")?.send().await?.expect(200)?;
        assert_eq!(status[0]["back_to"], json!(to));
    }
    Ok(())
}

#[tokio::test]
async fn rejected_deploys_leave_the_history_intact() -> TestResult {
    let server = TestServer::setup().admin().limit("releases_kept_max", 10).start().await?;
    server.upload("events", guest("shouting_events")).await?.expect(200)?;
    for number in 0..30 {
        let bytes = format!("nonsense {number}");
        server.admin("POST", "/v1/handlers/events")?.body("application/wasm", bytes).send().await?.expect(422)?;
    }
    server.admin("POST", "/v1/rollback")?.json("{}").send().await?.expect(200)?;
    let history = server.admin("GET", "/v1/releases")?.send().await?.expect(200)?;
    assert_eq!(history.as_array().unwrap().len(), 13, "10 refused, 3 that ran: {history:#}");
    Ok(())
}
