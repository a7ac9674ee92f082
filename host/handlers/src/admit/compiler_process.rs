//! Compiling in a process of its own: this program again, which reads a component, writes compiled code, and ends. A
//! compiler's memory goes with its process, it can be stopped at any point, and as it shares no lock with the server it
//! can run at idle priority. Knows nothing of where the code is kept.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wasmtime::Engine;

use crate::run::engine;
use crate::run::limits::HandlersLimits;
use ondol_host_process::hide_supervisor;

/// The verb on the program's command line, before the bytes of the stack and of the memory.
const VERB: &str = "compile";

/// The flag for a process at idle priority.
const GIVING_WAY: &str = "--giving-way";

/// How often a process at idle priority is looked at, and which share of a processor it has to have had since. On a
/// machine without idle time it would never end, so it is started again then, at normal priority.
const IDLE_CHECK_EVERY: Duration = Duration::from_secs(2);
const IDLE_SHARE_MIN: f64 = 0.25;

/// The most threads that it compiles on. Each takes memory, so that a limit that is enough on a small machine would not
/// be on one with a hundred processors.
const THREADS_MAX: usize = 8;

/// What std and the system's errors say where there is no memory left, in lower case.
const NO_MEMORY: [&str; 3] = ["memory allocation of", "cannot allocate memory", "out of memory"];

/// Compiles in child processes.
pub struct CompilerProcess {
    program: PathBuf,
    stack_bytes_max: usize,
    memory_bytes_max: usize,
    running_time_max: Duration,
    in_background: AtomicBool,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It did not start, or its output could not be read to the end. The component is not compiled in this process
    /// instead, where nothing would limit it.
    #[error("the compiler process failed: {0}")]
    Process(#[from] std::io::Error),
    /// It says why the component cannot be compiled.
    #[error("{0}")]
    Rejected(String),
    /// It needs more memory than this.
    #[error("the compiler needs more memory than handler_compile_memory_bytes_max = {0}")]
    Memory(usize),
    /// It took longer than this, and was stopped.
    #[error("the compiler needs more than handler_compile_ms_max = {}", .0.as_millis())]
    Late(Duration),
}

impl CompilerProcess {
    /// Starts `program`, which is this program, to compile for a sandbox with these limits.
    #[must_use]
    pub fn new(program: PathBuf, limits: &HandlersLimits) -> Self {
        Self {
            program,
            stack_bytes_max: limits.sandbox.calls.handler_stack_bytes_max,
            memory_bytes_max: limits.compiler.handler_compile_memory_bytes_max,
            running_time_max: Duration::from_millis(limits.compiler.handler_compile_ms_max),
            in_background: AtomicBool::new(false),
        }
    }

    /// From now on compiling yields to everything else on this machine. Before, a start waits for it.
    pub fn set_background(&self) {
        self.in_background.store(true, Ordering::Relaxed);
    }

    /// The code of a component.
    ///
    /// # Errors
    ///
    /// Why there is none. A process that does not start is started once more: the system may have been short of
    /// processes or memory for a moment.
    pub fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
        match self.compile_once(bytes) {
            Err(CompileError::Process(error)) => {
                tracing::warn!(%error, "the compiler process failed and is started once more: {error}");
                self.compile_once(bytes)
            }
            other => other,
        }
    }

    fn compile_once(&self, bytes: &[u8]) -> Result<Vec<u8>, CompileError> {
        if self.in_background.load(Ordering::Relaxed) {
            match self.run(bytes, true, self.running_time_max / 2) {
                Err(CompileError::Late(_)) => {}
                other => return other,
            }
        }
        self.run(bytes, false, self.running_time_max)
    }

    fn run(&self, bytes: &[u8], giving_way: bool, time_max: Duration) -> Result<Vec<u8>, CompileError> {
        let mut command = Command::new(&self.program);
        command.arg(VERB).arg(self.stack_bytes_max.to_string()).arg(self.memory_bytes_max.to_string());
        command.args(giving_way.then_some(GIVING_WAY));
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        // rayon, by which wasmtime compiles in parallel, reads it.
        command.env("RAYON_NUM_THREADS", threads.to_string());
        hide_supervisor(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut child, _parent) = if giving_way { spawn_idle(command)? } else { (command.spawn()?, None) };
        let pid = child.id();
        let output = exchange(&mut child, bytes, time_max, || !giving_way || has_progressed(pid));
        if output.is_err() {
            child.kill()?;
        }
        let status = child.wait()?;
        let (code, errors) = output?;
        if status.success() {
            return Ok(code);
        }
        let errors = String::from_utf8_lossy(&errors).trim().to_owned();
        let lower_case = errors.to_lowercase();
        if NO_MEMORY.into_iter().any(|no_memory| lower_case.contains(no_memory)) {
            return Err(CompileError::Memory(self.memory_bytes_max));
        }
        let reason = if errors.is_empty() { format!("the compiler ended: {status}") } else { errors };
        Err(CompileError::Rejected(reason))
    }
}

/// Writes the component to the process, and reads its output and its errors. It reads all before it writes. Ends early
/// when the process does not get on.
fn exchange(
    child: &mut Child,
    bytes: &[u8],
    time_max: Duration,
    mut gets_on: impl FnMut() -> bool,
) -> Result<(Vec<u8>, Vec<u8>), CompileError> {
    let (Some(mut input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(std::io::Error::other("it has no pipes").into());
    };
    let (send, received) = channel();
    let bytes = bytes.to_vec();
    // Not on this thread: a process without CPU time does not read either.
    std::thread::Builder::new().name("handler-compile".to_owned()).spawn(move || {
        // A process that ended before it had read all has its reason on the other pipe.
        let _ = input.write_all(&bytes);
        drop(input);
        let _ = send.send(read_all(output).and_then(|code| Ok((code, read_all(errors)?))));
    })?;
    let began = Instant::now();
    loop {
        let left = time_max.saturating_sub(began.elapsed());
        match received.recv_timeout(left.min(IDLE_CHECK_EVERY)) {
            Ok(answer) => return Ok(answer?),
            Err(_) if left > IDLE_CHECK_EVERY && gets_on() => {}
            Err(_) => return Err(CompileError::Late(time_max)),
        }
    }
}

/// Whether a process on one thread has had its share of a processor since it started.
fn has_progressed(pid: u32) -> bool {
    // Nanoseconds on a processor and waiting for one.
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/schedstat")) else { return true };
    let mut times = text.split(' ').map(|time| time.trim().parse::<f64>().unwrap_or_default());
    let (ran, waited) = (times.next().unwrap_or_default(), times.next().unwrap_or_default());
    ran >= IDLE_SHARE_MIN * (ran + waited)
}

fn read_all(mut from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    from.read_to_end(&mut all)?;
    Ok(all)
}

/// Starts a process at idle priority (`SCHED_IDLE`). It inherits that from the thread that starts it, which has to be
/// one of its own: an unprivileged thread has no way up again. Lowering itself would be too late for the process, as
/// its loading alone holds others up for some milliseconds. That thread stays until the sender is dropped, because the
/// process ends with it.
fn spawn_idle(mut command: Command) -> std::io::Result<(Child, Option<Sender<()>>)> {
    let (send, received) = channel();
    let (keep, kept) = channel::<()>();
    std::thread::Builder::new().name("handler-spawn".to_owned()).spawn(move || {
        set_idle();
        let _ = send.send(command.spawn());
        let _ = kept.recv();
    })?;
    let child = received.recv().map_err(|_| std::io::Error::other("the thread that starts it is gone"))??;
    Ok((child, Some(keep)))
}

/// Lowers this thread, and what it starts from now on, to idle priority. A system that does not know it keeps the old
/// one.
#[allow(unsafe_code, reason = "no safe crate at hand sets how a thread is scheduled")]
fn set_idle() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameters` is a live `sched_param` that the call only reads, 0 is the caller, and a policy that the
    // kernel does not take is an error of the call and changes nothing.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
}

/// Compiles in this process, as a child of a server: reads a component and writes its code.
///
/// # Errors
///
/// Why it cannot be compiled, or that its code could not be written.
pub fn compile_as_child(
    stack_bytes_max: usize,
    memory_bytes_max: u64,
    giving_way: bool,
    input: impl Read,
    mut output: impl Write,
) -> anyhow::Result<()> {
    // What is allocated and the threads' stacks, but not the program's own pages. An allocation over it fails, which
    // ends this process. Only a privileged process may go over the maximum that it was started with.
    let given = getrlimit(Resource::Data).maximum;
    let limit = Some(given.map_or(memory_bytes_max, |given| given.min(memory_bytes_max)));
    setrlimit(Resource::Data, Rlimit { current: limit, maximum: limit })?;
    let mut config = engine::config(stack_bytes_max);
    if giving_way {
        // The scheduler may leave a CPU to an idle thread for some milliseconds: on one CPU at a time.
        config.parallel_compilation(false);
    }
    // The parent is the thread that started this process, which waits for it: see `spawn_idle`.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let code = Engine::new(&config)?.precompile_component(&read_all(input)?)?;
    Ok(output.write_all(&code)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Instant;

    use super::*;

    /// A program that is not a compiler.
    fn program(directory: &tempfile::TempDir, script: &str) -> PathBuf {
        let path = directory.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    // One test: a file that another thread's new process still holds open for writing cannot be run.
    #[test]
    fn a_process_that_does_not_read_is_stopped_in_time_and_one_that_fails_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let limits = HandlersLimits::for_tests();
        let mut short = limits;
        short.compiler.handler_compile_ms_max = 100;
        let began = Instant::now();
        let deaf = CompilerProcess::new(program(&directory, "exec sleep 60"), &short).compile(&vec![0; 1 << 20]);
        assert!(matches!(deaf, Err(CompileError::Late(late)) if late == Duration::from_millis(100)));
        assert!(began.elapsed() < Duration::from_secs(30));

        let rejecting = CompilerProcess::new(program(&directory, "echo no good >&2; exit 1"), &limits);
        assert_eq!(rejecting.compile(&vec![0; 1 << 20]).unwrap_err().to_string(), "no good");
        let missing = CompilerProcess::new(directory.path().join("missing"), &limits);
        assert!(matches!(missing.compile(&[]), Err(CompileError::Process(_))));
    }
}
