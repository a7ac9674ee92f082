//! How a handler fails, as the operator reads it. A refusal is an answer and no fault.

use std::time::Duration;

use wasmtime::WasmBacktrace;
use wasmtime::component::ResourceTableError;

use super::kind::{HandlerKind, VersionId};
use super::limits::{CallLimits, HANDLES_MAX};
use super::text::one_line;

/// The functions of a backtrace that are kept, innermost first.
const FRAMES_MAX: usize = 12;

/// The functions of Rust's own between a panic and its trap, in a backtrace.
const PANIC_MACHINERY: [&str; 6] =
    ["core::panicking", "std::panicking", "__rustc", "rust_begin_unwind", "std::process::abort", "std::sys"];

/// A handler that failed to answer: which one, at what, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{handler} {version} failed in {function}: {cause}")]
pub struct Fault {
    /// The handler.
    pub handler: HandlerKind,
    /// Its version.
    pub version: VersionId,
    /// The function that was called.
    pub function: &'static str,
    /// What went wrong.
    pub cause: Cause,
    /// The end of the call's output, without a panic's message.
    pub printed: Option<String>,
    /// It took more of a worker than a call may, whatever it ended with.
    pub costly: bool,
}

/// What went wrong in a call.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// It ran into a limit.
    #[error("{0}")]
    Overrun(#[from] Overrun),
    /// It panicked.
    #[error("it panicked{}: {message}", at.as_deref().map(|at| format!(" at {at}")).unwrap_or_default())]
    Panic {
        /// Where in its source, if it said so.
        at: Option<String>,
        /// Its message, in one line.
        message: String,
        /// The functions that it was in.
        backtrace: Vec<String>,
    },
    /// It trapped, or called the host in a way that cannot be answered.
    #[error("{what}")]
    Trap {
        /// What happened.
        what: String,
        /// The functions that it was in.
        backtrace: Vec<String>,
    },
    /// No instance of it could be made.
    #[error("it could not be instantiated: {0}")]
    Instantiate(String),
    /// Its answer breaks the contract.
    #[error("its answer breaks the contract: {0}")]
    Answer(String),
    /// It has no version: the built-in handler answers.
    #[error("it has no version")]
    NoVersion,
    /// The host itself failed during the call.
    #[error("the host failed during the call: {0}")]
    Host(String),
}

/// A limit that a call ran into, by its name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overrun {
    /// Too long.
    #[error("it ran past its deadline (handler_deadline_ms = {})", .0.as_millis())]
    Deadline(Duration),
    /// Slow, while the maximum of others was slow too.
    #[error("it was slow, and so was the maximum of other calls (handler_slow_calls_max = {0})")]
    TooManySlow(usize),
    /// Too much memory.
    #[error("it asked for more memory than allowed (handler_memory_bytes_max = {0})")]
    Memory(usize),
    /// Too large a table.
    #[error("it asked for a table of more than {0} elements")]
    Table(usize),
    /// Too many handles to what the host lends it.
    #[error("it held more than {0} handles")]
    Handles(usize),
    /// Too deep a recursion.
    #[error("it ran out of stack (handler_stack_bytes_max = {0})")]
    Stack(usize),
    /// Too long an answer.
    #[error("it returned, or passed to the host, more than allowed (handler_answer_bytes_max = {0})")]
    Answer(usize),
}

impl Cause {
    /// Reads wasmtime's error. `limits` are those in force.
    pub(crate) fn read(error: &wasmtime::Error, limits: &CallLimits) -> Self {
        if let Some(overrun) = error.downcast_ref::<Overrun>() {
            return overrun.clone().into();
        }
        if let Some(wasmtime::Trap::StackOverflow) = error.downcast_ref::<wasmtime::Trap>() {
            return Overrun::Stack(limits.handler_stack_bytes_max).into();
        }
        if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
            return Overrun::Handles(HANDLES_MAX).into();
        }
        // Innermost first, and the backtrace apart.
        let mut causes: Vec<String> =
            error.chain().map(ToString::to_string).filter(|cause| !cause.starts_with(BACKTRACE)).collect();
        causes.reverse();
        let what = causes.join("; ");
        if what.contains("fuel allocated for hostcalls has been exhausted") {
            return Overrun::Answer(limits.handler_answer_bytes_max).into();
        }
        if what.contains("too many handles") || what.contains("resource table has no free keys") {
            return Overrun::Handles(HANDLES_MAX).into();
        }
        Self::Trap { what: one_line(&what), backtrace: error.downcast_ref().map(functions).unwrap_or_default() }
    }

    /// Finds a panic's message in the call's output, and returns the rest of the output.
    pub(crate) fn with_printed(self, printed: Option<String>) -> (Self, Option<String>) {
        match (self, printed) {
            (Self::Trap { what, backtrace }, Some(text)) => match Words::find(&text) {
                Some(Words { before, at, message }) => {
                    let rest = before.trim();
                    let rest = (!rest.is_empty()).then(|| rest.to_owned());
                    (Self::Panic { at: at.map(one_line), message: one_line(message), backtrace }, rest)
                }
                None => (Self::Trap { what, backtrace }, Some(text)),
            },
            (cause, printed) => (cause, printed),
        }
    }

    /// The functions that the handler was in, innermost first, where the component names them.
    #[must_use]
    pub fn backtrace(&self) -> &[String] {
        match self {
            Self::Panic { backtrace, .. } | Self::Trap { backtrace, .. } => backtrace,
            _ => &[],
        }
    }

    /// Whether it ran out of time.
    #[must_use]
    pub fn was_slow(&self) -> bool {
        matches!(self, Self::Overrun(Overrun::Deadline(_) | Overrun::TooManySlow(_)))
    }
}

/// How wasmtime begins the text of a backtrace.
const BACKTRACE: &str = "error while executing at wasm backtrace";

/// The names in a backtrace, from where the panic, if it is one, was called.
fn functions(backtrace: &WasmBacktrace) -> Vec<String> {
    let names: Vec<String> = backtrace
        .frames()
        .iter()
        .filter_map(|frame| frame.func_name())
        .map(|name| one_line(&format!("{:#}", rustc_demangle::demangle(name))))
        .collect();
    let machinery = |name: &String| PANIC_MACHINERY.iter().any(|start| name.starts_with(start)) || name == "abort";
    let panicked = names.iter().position(|name| !machinery(name)).unwrap_or(0);
    names.into_iter().skip(panicked).take(FRAMES_MAX).collect()
}

/// A panic as Rust's standard library prints it.
struct Words<'a> {
    before: &'a str,
    at: Option<&'a str>,
    message: &'a str,
}

impl<'a> Words<'a> {
    /// The last one in a text: `thread '…' panicked at src/lib.rs:1:2:` and the message on the lines after it.
    fn find(text: &'a str) -> Option<Self> {
        let (head, words) = text.rsplit_once(" panicked at ")?;
        let (before, _thread) = head.rsplit_once('\n').unwrap_or(("", head));
        let (at, message) = words.split_once('\n').unwrap_or((words, ""));
        let message = message.split("\nnote: run with `RUST_BACKTRACE").next().unwrap_or(message);
        Some(Self { before, at: Some(at.trim_end_matches(':')), message: message.trim() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_read_out_of_what_was_printed() {
        let trap = Cause::Trap { what: "wasm `unreachable` instruction executed".to_owned(), backtrace: Vec::new() };
        let printed = "one line\n\nthread 'main' (1) panicked at src/lib.rs:20:13:\nno luck\nat all\nnote: run with \
                       `RUST_BACKTRACE=1` environment variable to display a backtrace";
        let (cause, rest) = trap.with_printed(Some(printed.to_owned()));
        assert_eq!(cause.to_string(), "it panicked at src/lib.rs:20:13: no luck\\nat all");
        assert_eq!(rest.as_deref(), Some("one line"));
    }

    #[test]
    fn a_trap_without_a_panic_keeps_what_was_printed() {
        let trap = Cause::Trap { what: "integer divide by zero".to_owned(), backtrace: Vec::new() };
        let (cause, rest) = trap.with_printed(Some("a line".to_owned()));
        assert_eq!((cause.to_string().as_str(), rest.as_deref()), ("integer divide by zero", Some("a line")));
    }
}
