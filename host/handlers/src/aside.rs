//! Compiling in a process of its own: this program again, which reads a component, writes compiled code, and ends. What a
//! compiler needs of memory goes with it, it can be stopped at any point, and as it shares no lock with the server it can run at
//! the lowest priority. Knows nothing of where the code is kept, nor who waits for it.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wasmtime::Engine;

use super::engine;
use super::limits::HandlersLimits;

/// What the program is asked for on its command line, before the bytes of the stack and of the memory.
const VERB: &str = "compile";

/// What asks it to give way to everybody else.
const GIVING_WAY: &str = "--giving-way";

/// How long it may take that way. On a machine that has no time to spare it would take for ever, so it is begun anew then, as
/// part of all that the machine has to do.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most threads that it compiles on. Each takes memory, so that a limit that is enough on a small machine would not be on one
/// with a hundred processors.
const THREADS_MAX: usize = 8;

/// What std and the system's errors say where there is no memory left, in lower case.
const NO_MEMORY: [&str; 3] = ["memory allocation of", "cannot allocate memory", "out of memory"];

/// The program to ask.
pub(super) struct Aside {
    program: PathBuf,
    stack_bytes_max: usize,
    memory_bytes_max: usize,
    limit: Duration,
    gives_way: AtomicBool,
}

/// Why it brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// It did not start, or was not heard to the end. It is not compiled in this process instead, where nothing would limit it.
    #[error("no process to compile it in: {0}")]
    Unheard(#[from] std::io::Error),
    /// It says why it cannot be compiled.
    #[error("{0}")]
    Refused(String),
    /// It needs more memory than this.
    #[error("the compiler needs more memory than handler_compile_memory_bytes_max = {0}")]
    Large(usize),
    /// It was stopped: it took longer than this.
    #[error("the compiler needs more than handler_compile_ms_max = {}", .0.as_millis())]
    Late(Duration),
}

impl Aside {
    /// `program` is this program. What it compiles runs on an engine with so much stack, and takes no more memory and no longer
    /// than these limits.
    pub(super) fn new(program: PathBuf, limits: &HandlersLimits) -> Self {
        Self {
            program,
            stack_bytes_max: limits.sandbox.calls.handler_stack_bytes_max,
            memory_bytes_max: limits.compiler.handler_compile_memory_bytes_max,
            limit: Duration::from_millis(limits.compiler.handler_compile_ms_max),
            gives_way: AtomicBool::new(false),
        }
    }

    /// From now on there are others who are not to be held up.
    pub(super) fn give_way(&self) {
        self.gives_way.store(true, Ordering::Relaxed);
    }

    /// Whether there are.
    fn gives_way(&self) -> bool {
        self.gives_way.load(Ordering::Relaxed)
    }

    /// The code of a component. Where no process can be had, it is tried once more: the system may have been short of
    /// processes or memory for a moment.
    pub(super) fn compile(&self, bytes: &[u8]) -> Result<Vec<u8>, Failed> {
        match self.compile_once(bytes) {
            Err(Failed::Unheard(error)) => {
                tracing::warn!(%error, "the compiler process failed, it is started once more");
                self.compile_once(bytes)
            }
            other => other,
        }
    }

    fn compile_once(&self, bytes: &[u8]) -> Result<Vec<u8>, Failed> {
        if self.gives_way() {
            match self.ask(bytes, true, PATIENCE.min(self.limit)) {
                Err(Failed::Late(_)) => {}
                other => return other,
            }
        }
        self.ask(bytes, false, self.limit)
    }

    fn ask(&self, bytes: &[u8], giving_way: bool, limit: Duration) -> Result<Vec<u8>, Failed> {
        let mut command = Command::new(&self.program);
        command.arg(VERB).arg(self.stack_bytes_max.to_string()).arg(self.memory_bytes_max.to_string());
        command.args(giving_way.then_some(GIVING_WAY));
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        // rayon, by which wasmtime compiles in parallel, reads it.
        command.env("RAYON_NUM_THREADS", threads.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut child, _parent) = if giving_way { spawn_idle(command)? } else { (command.spawn()?, None) };
        let heard = hear(&mut child, bytes, limit);
        if heard.is_err() {
            child.kill()?;
        }
        let ended = child.wait()?;
        let (code, words) = heard?;
        if ended.success() {
            return Ok(code);
        }
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        let said = words.to_lowercase();
        if NO_MEMORY.into_iter().any(|no_memory| said.contains(no_memory)) {
            return Err(Failed::Large(self.memory_bytes_max));
        }
        Err(Failed::Refused(if words.is_empty() { format!("the compiler ended: {ended}") } else { words }))
    }
}

/// Gives it what is to be compiled, and hears what it writes on its two ways out. It reads all before it writes.
fn hear(child: &mut Child, bytes: &[u8], limit: Duration) -> Result<(Vec<u8>, Vec<u8>), Failed> {
    let (Some(mut input), Some(output), Some(errors)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(std::io::Error::other("it has no pipes").into());
    };
    let (tell, told) = channel();
    let bytes = bytes.to_vec();
    // Not here: who gets no CPU time does not read either.
    std::thread::Builder::new().name("handler-compile".to_owned()).spawn(move || {
        // Who ended before it had read all has its reason on the other pipe.
        let _ = input.write_all(&bytes);
        drop(input);
        let _ = tell.send(read_all(output).and_then(|code| Ok((code, read_all(errors)?))));
    })?;
    Ok(told.recv_timeout(limit).map_err(|_| Failed::Late(limit))??)
}

fn read_all(mut from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    from.read_to_end(&mut all)?;
    Ok(all)
}

/// What the program does when it is asked: reads a component and writes its code.
///
/// # Errors
///
/// Why it cannot be compiled, or that it was not heard.
pub fn answer(
    stack_bytes_max: usize,
    memory_bytes_max: u64,
    giving_way: bool,
    input: impl Read,
    mut output: impl Write,
) -> anyhow::Result<()> {
    // What is allocated and the threads' stacks, but not the program's own pages. An allocation over it fails, which ends this
    // process. Only a privileged process may go over the maximum that it was started with.
    let given = getrlimit(Resource::Data).maximum;
    let limit = Some(given.map_or(memory_bytes_max, |given| given.min(memory_bytes_max)));
    setrlimit(Resource::Data, Rlimit { current: limit, maximum: limit })?;
    let mut config = engine::config(stack_bytes_max);
    if giving_way {
        // The scheduler may leave a CPU to an idle thread for some milliseconds: on one CPU at a time.
        config.parallel_compilation(false);
    }
    // The parent is the thread that started this process. It waits for it: see `spawn_idle`.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let code = Engine::new(&config)?.precompile_component(&read_all(input)?)?;
    Ok(output.write_all(&code)?)
}

/// Starts a process at idle priority (`SCHED_IDLE`). It inherits that from the thread that starts it, which has to be one of its
/// own: an unprivileged thread has no way up again. Lowering itself would be too late for the process, as its loading alone holds
/// others up for some milliseconds. That thread stays until the sender is dropped, because the process ends with it.
fn spawn_idle(mut command: Command) -> std::io::Result<(Child, Option<Sender<()>>)> {
    let (tell, told) = channel();
    let (keep, kept) = channel::<()>();
    std::thread::Builder::new().name("handler-spawn".to_owned()).spawn(move || {
        set_idle();
        let _ = tell.send(command.spawn());
        let _ = kept.recv();
    })?;
    let child = told.recv().map_err(|_| std::io::Error::other("the thread that starts it is gone"))??;
    Ok((child, Some(keep)))
}

/// Lowers this thread, and what it starts from now on, to idle priority. A system that does not know it keeps the old one.
#[allow(unsafe_code, reason = "no safe crate at hand sets how a thread is scheduled")]
fn set_idle() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameters` is a live `sched_param` that the call only reads, 0 is the caller, and a policy that the kernel does
    // not take is an error of the call and changes nothing.
    let _ = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Instant;

    use super::*;

    /// A program that is no compiler.
    fn program(directory: &tempfile::TempDir, script: &str) -> PathBuf {
        let path = directory.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    // One test: a file that another thread's new process still holds open for writing cannot be run.
    #[test]
    fn it_is_stopped_in_time_even_if_it_does_not_read_and_what_it_says_is_why() {
        let directory = tempfile::tempdir().unwrap();
        let (short, long) = (Duration::from_millis(100), Duration::from_secs(30));
        let mut limits = HandlersLimits::for_tests();
        limits.compiler.handler_compile_ms_max = 100;
        let began = Instant::now();
        let deaf = Aside::new(program(&directory, "exec sleep 60"), &limits).compile(&vec![0; 1 << 20]);
        assert!(matches!(deaf, Err(Failed::Late(late)) if late == short));
        assert!(began.elapsed() < long);

        let refusing = Aside::new(program(&directory, "echo no good >&2; exit 1"), &HandlersLimits::for_tests());
        assert_eq!(refusing.compile(&vec![0; 1 << 20]).unwrap_err().to_string(), "no good");
        let nobody = Aside::new(directory.path().join("nobody"), &HandlersLimits::for_tests());
        assert!(matches!(nobody.compile(&[]), Err(Failed::Unheard(_))));
    }
}
