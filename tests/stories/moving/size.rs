//! Time and memory: `STORY_MESSAGES` messages in `STORY_ROOMS` rooms. The memory does not grow with them.

use std::{
    env,
    process::{Command, Stdio},
    time::Instant,
};

use ondol_tests::{command, system, until};

use super::*;

/// Runs a command to its end. Returns its time in seconds and its peak memory in MiB.
async fn measured(words: &[&std::ffi::OsStr]) -> TestResult<(f64, u64)> {
    let begun = Instant::now();
    let mut child = Command::new(command::binary()).args(words).stdout(Stdio::null()).stdin(Stdio::null()).spawn()?;
    let mut peak = 0;
    let status = loop {
        // The deadline is of each look, because the work may take long.
        let ended = until("the command", async || {
            peak = system::status(child.id(), "VmHWM").unwrap_or(0).max(peak);
            let ended = child.try_wait().ok().flatten();
            if ended.is_some() || begun.elapsed().as_secs() % 10 == 9 { Some(ended) } else { None }
        });
        if let Some(status) = ended.await? {
            break status;
        }
    };
    ensure!(status.success(), "{words:?}: {status}");
    Ok((begun.elapsed().as_secs_f64(), peak / 1_024))
}

#[tokio::test]
async fn many_messages_move_in_little_memory() -> TestResult {
    let number = |name: &str, default| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (messages, rooms) = (number("STORY_MESSAGES", 20_000), number("STORY_ROOMS", 10));
    let (directory, data) = (TempDir::new()?, TempDir::new()?);
    let file = foreign_file(directory.path(), rooms, messages)?;
    let out = directory.path().join("out.jsonl");
    let steps: [(&str, Vec<&std::ffi::OsStr>); 3] = [
        ("dry run", vec!["import".as_ref(), "--dry-run".as_ref(), file.as_os_str()]),
        ("import", vec!["import".as_ref(), file.as_os_str()]),
        ("export", vec!["export".as_ref(), out.as_os_str()]),
    ];
    for (name, words) in steps {
        let words = [&words[..], &["--data".as_ref(), data.path().as_os_str()]].concat();
        let (seconds, peak) = measured(&words).await?;
        let rate = messages as f64 / seconds;
        eprintln!("{name}: {messages} messages in {seconds:.1} s, {rate:.0} a second, {peak} MiB at most");
        ensure!(peak < 100, "{name}: {peak} MiB");
    }
    Ok(())
}
