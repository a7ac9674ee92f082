//! The system calls of the real server on the real disk: the log is synced between the write of a message and the first
//! send of its event. Needs strace, and is skipped by name where it is missing, but not in CI.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::Path,
    process::Command,
};

use futures_util::future::try_join_all;
use ondol_tests::{TestResult, TestServer, until};

/// The number of messages of each client.
const SAID: usize = 30;

/// As a grandchild, so that the story's child process is the server. Traces every thread, with the files of the
/// descriptors and everything that is written.
const STRACE: [&str; 10] = [
    "strace",
    "-D",
    "-f",
    "-y",
    "-s",
    "65536",
    "-o",
    "trace",
    "-e",
    "trace=pwrite64,fdatasync,fsync,sendto,sendmsg,write,writev",
];

/// The relevant calls of a trace, in the order of their beginnings and ends.
#[derive(Debug)]
enum Call {
    /// Something was written to the log.
    Write(String),
    /// A sync of the log began. It covers what was written before.
    SyncBegins(u32),
    /// It ended.
    SyncEnds(u32),
    /// Something was sent to a client.
    Send(String),
}

/// Reads a line of `strace -f -y`. A call that another thread interrupts takes two lines.
fn read(line: &str) -> Option<Call> {
    let (pid, rest) = line.split_once(char::is_whitespace)?;
    let (pid, rest) = (pid.parse().ok()?, rest.trim_start());
    let resumed = rest.strip_prefix("<... ").map(|rest| rest.starts_with("fdatasync") || rest.starts_with("fsync"));
    match resumed {
        Some(sync) => return (sync && rest.ends_with("= 0")).then_some(Call::SyncEnds(pid)),
        None if rest.starts_with("fdatasync(") || rest.starts_with("fsync(") => {
            return rest.contains("-wal>").then_some(Call::SyncBegins(pid));
        }
        None => {}
    }
    let (call, _) = rest.split_once('(')?;
    match call {
        "pwrite64" if rest.contains("-wal>") => Some(Call::Write(rest.to_owned())),
        "sendto" | "sendmsg" | "write" | "writev" if rest.contains("TCP:") || rest.contains("socket:") => {
            Some(Call::Send(rest.to_owned()))
        }
        _ => None,
    }
}

/// Whether a line has both the beginning and the end of a sync.
fn is_whole(line: &str) -> bool {
    line.trim_end().ends_with("= 0")
}

/// The sends of a trace that came before their message was durable, and the number of messages that were durable first.
fn sent_too_early(trace: &str, texts: &[String]) -> (Vec<String>, usize) {
    // The line of the first write of each text, and of the beginning of each thread's sync.
    let (mut written, mut syncing) = (BTreeMap::<&str, usize>::new(), BTreeMap::<u32, usize>::new());
    let (mut durable_until, mut early, mut in_order) = (0, Vec::new(), 0);
    let mut waiting: Vec<&String> = texts.iter().collect();
    for (line, now) in trace.lines().zip(1..) {
        match read(line) {
            Some(Call::Write(bytes)) => {
                for text in waiting.iter().filter(|text| bytes.contains(text.as_str())) {
                    written.entry(text).or_insert(now);
                }
            }
            Some(Call::SyncBegins(_)) if is_whole(line) => durable_until = now,
            Some(Call::SyncBegins(pid)) => drop(syncing.insert(pid, now)),
            Some(Call::SyncEnds(pid)) => durable_until = durable_until.max(syncing.remove(&pid).unwrap_or(0)),
            Some(Call::Send(bytes)) => waiting.retain(|text| {
                let event = bytes.contains(text.as_str()) && bytes.contains("created_at");
                if event {
                    match written.get(text.as_str()) {
                        Some(when) if *when < durable_until => in_order += 1,
                        _ => early.push(line.to_owned()),
                    }
                }
                !event
            }),
            None => {}
        }
    }
    (early, in_order)
}

/// Runs a server under strace while clients talk. Returns the trace and the texts.
async fn traced(config: &str, clients: usize) -> TestResult<(String, Vec<String>)> {
    let mut server = TestServer::setup().config(config).run_by(&STRACE).start().await?;
    let room = server.create_room("lobby").await?;
    let mut members = Vec::new();
    for number in 0..clients {
        members.push(server.open_tab(room, format!("user{number}").as_str()).await?);
    }
    let said = try_join_all(members.into_iter().zip(0..).map(async |(mut member, number)| {
        let texts: Vec<_> = (0..SAID).map(|text| format!("said-{number}-{text}.")).collect();
        for text in &texts {
            member.say(text).await?;
            while member.next_message().await?["message"] != text.as_str() {}
        }
        TestResult::Ok(texts)
    }));
    let said = said.await?.concat();
    server.signal("TERM")?;
    server.exit().await?;
    let file = server.root().join("trace");
    let pid = server.pid().to_string();
    // strace pads process ids with spaces.
    let ends = |line: &str| line.split_once(' ').is_some_and(|(who, what)| who == pid && what.contains("+++ exited"));
    until("the end of the trace", async || tail(&file).ok().filter(|tail| tail.lines().any(ends))).await?;
    Ok((fs::read_to_string(&file)?, said))
}

/// The last bytes of a file that may be long.
fn tail(file: &Path) -> TestResult<String> {
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4_000)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(String::from_utf8_lossy(&tail).into_owned())
}

/// Whether strace is installed; CI has to have it.
fn is_there() -> bool {
    let there = Command::new("strace").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(there || env::var_os("CI").is_none(), "strace is not installed");
    if !there {
        eprintln!("skipped: strace is not installed");
    }
    there
}

#[tokio::test]
async fn the_log_is_synced_before_an_event_is_sent() -> TestResult {
    if !is_there() {
        return Ok(());
    }
    for clients in [1, 6] {
        let (trace, said) = traced("", clients).await?;
        let (early, in_order) = sent_too_early(&trace, &said);
        assert_eq!(early, Vec::<String>::new());
        assert_eq!(in_order, said.len(), "messages are missing in the trace");
    }
    Ok(())
}

#[tokio::test]
async fn a_trace_without_syncs_is_noticed() -> TestResult {
    if !is_there() {
        return Ok(());
    }
    let (trace, said) = traced(r#"synchronous = "normal""#, 1).await?;
    let (early, in_order) = sent_too_early(&trace, &said);
    assert_eq!((early.len(), in_order), (said.len(), 0));
    Ok(())
}
