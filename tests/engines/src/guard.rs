//! The process of an engine and its directory, which never outlive the test process: a shell watches over them in a
//! process group of its own, where neither Ctrl-C nor the death of the test process reaches it.

use std::{
    fs,
    io::{BufRead, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The maximum of a wait. Long, because a machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// An engine that runs, or is stopped and may be started again.
#[derive(Debug)]
pub(crate) struct Guard {
    directory: PathBuf,
    shell: Child,
    orders: Option<ChildStdin>,
    answers: Mutex<Receiver<String>>,
    engine: Option<Pid>,
}

impl Guard {
    /// Prepares to run a command in `directory`, which belongs to the guard from now on. `signal` is the one that
    /// stops it when the test process ends.
    pub(crate) fn new(directory: TempDir, signal: &str, command: &[String]) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", include_str!("guard.sh"), "guard"]).arg(directory.path()).arg(signal).args(command);
        shell.current_dir(directory.path()).process_group(0);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("no shell")?;
        let orders = shell.stdin.take();
        let (sender, answers) = channel();
        let lines = BufReader::new(shell.stdout.take().context("no standard output")?).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { directory: directory.keep(), shell, orders, answers: Mutex::new(answers), engine: None })
    }

    /// Starts the engine, and waits until `ready`.
    pub(crate) fn start(&mut self, mut ready: impl FnMut(Pid) -> bool) -> Result<()> {
        let pid = self.order("start")?.parse().ok().and_then(Pid::from_raw).context("no process id")?;
        self.engine = Some(pid);
        let since = Instant::now();
        while !ready(pid) {
            if has_ended(pid) || since.elapsed() > DEADLINE {
                bail!("the engine does not start; its log:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Sends a signal that ends the engine, and waits for its end.
    pub(crate) fn end(&mut self, signal: Signal) -> Result<()> {
        kill_process(self.engine()?, signal)?;
        self.order("wait")?;
        self.engine = None;
        Ok(())
    }

    /// The process of the engine, while it runs.
    pub(crate) fn engine(&self) -> Result<Pid> {
        self.engine.context("it is stopped")
    }

    /// The directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn order(&mut self, order: &str) -> Result<String> {
        writeln!(self.orders.as_mut().context("no standard input")?, "{order}")?;
        let answers = self.answers.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        answers.recv_timeout(DEADLINE).with_context(|| format!("no answer to {order}"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.shell.wait();
    }
}

/// Whether a process has ended, even if it is not reaped yet.
fn has_ended(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    // The name is in brackets and may contain any character.
    stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with('Z'))
}

/// Sends a signal to processes. Returns once those that are to stop have stopped.
pub(crate) fn signal_all(pids: &[Pid], signal: Signal) {
    for pid in pids {
        // One may have ended meanwhile.
        let _ = kill_process(*pid, signal);
    }
    if signal == Signal::STOP {
        pids.iter().for_each(|pid| until_stopped(pid.as_raw_nonzero().get().unsigned_abs()));
    }
}

/// Waits until a process that was sent a SIGSTOP does nothing any more: on a busy machine that takes a moment.
pub fn until_stopped(pid: u32) {
    let end = Instant::now() + DEADLINE;
    while is_running(pid) && Instant::now() < end {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether any thread of a process is neither stopped nor at its end.
fn is_running(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name is in brackets and may contain any character.
        stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['T', 't', 'Z', 'X']))
    })
}

/// The children of a process.
pub(crate) fn children(parent: Pid) -> Result<Vec<Pid>> {
    let parent = parent.as_raw_nonzero().to_string();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let of_parent = stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.split(' ').nth(1) == Some(&parent));
        children.extend(Pid::from_raw(pid).filter(|_| of_parent));
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    /// Runs in a process of its own, to be killed.
    #[test]
    #[ignore = "a part of the test below"]
    fn a_process_with_a_guard() -> Result<()> {
        let directory = TempDir::with_prefix("ondol-guard-")?;
        let mut guard = Guard::new(directory, "TERM", &["sleep".into(), "1000".into()])?;
        guard.start(|_| true)?;
        let engine = guard.engine()?;
        kill_process(engine, Signal::STOP)?;
        println!("engine {} {}", engine.as_raw_nonzero(), guard.directory().display());
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn an_engine_ends_with_the_process_that_is_killed_even_when_it_is_frozen() -> Result<()> {
        let mut process = Command::new(env::current_exe()?);
        process.args(["--exact", "guard::tests::a_process_with_a_guard", "--ignored", "--nocapture"]);
        let mut process = process.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines().map_while(Result::ok);
        // The line may begin with what the test runner prints.
        let line = lines.find_map(|line| line.split_once("engine ").map(|(_, rest)| rest.to_owned()));
        process.kill()?;
        process.wait()?;
        let line = line.context("no engine")?;
        let (pid, directory) = line.split_once(' ').context("no directory")?;
        let (pid, since) = (pid.parse().ok().and_then(Pid::from_raw).context("no process id")?, Instant::now());
        while Path::new(directory).exists() || !has_ended(pid) {
            assert!(since.elapsed() < DEADLINE, "{line} outlives its test");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}
