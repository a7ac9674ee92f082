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

/// Where the sources of Rust's and C's own libraries are, in debug information.
const LIBRARIES: [&str; 2] = ["/rustc/", "wasisdk://"];

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
    #[error("{overrun}")]
    Overrun {
        /// Which.
        overrun: Overrun,
        /// The functions that it was in.
        backtrace: Vec<String>,
    },
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

impl Overrun {
    /// The limit that an error of wasmtime's tells of, whose text is `what`.
    fn read(error: &wasmtime::Error, what: &str, limits: &CallLimits) -> Option<Self> {
        if let Some(overrun) = error.downcast_ref::<Self>() {
            return Some(overrun.clone());
        }
        if let Some(wasmtime::Trap::StackOverflow) = error.downcast_ref::<wasmtime::Trap>() {
            return Some(Self::Stack(limits.handler_stack_bytes_max));
        }
        if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
            return Some(Self::Handles(HANDLES_MAX));
        }
        if what.contains("fuel allocated for hostcalls has been exhausted") {
            return Some(Self::Answer(limits.handler_answer_bytes_max));
        }
        let handles = what.contains("too many handles") || what.contains("resource table has no free keys");
        handles.then_some(Self::Handles(HANDLES_MAX))
    }
}

impl Cause {
    /// Reads wasmtime's error. `limits` are those in force.
    pub(crate) fn read(error: &wasmtime::Error, limits: &CallLimits) -> Self {
        let backtrace = error.downcast_ref().map(functions).unwrap_or_default();
        // Innermost first, and the backtrace apart.
        let mut causes: Vec<String> =
            error.chain().map(ToString::to_string).filter(|cause| !cause.starts_with(BACKTRACE)).collect();
        causes.reverse();
        let what = causes.join("; ");
        match Overrun::read(error, &what, limits) {
            Some(overrun) => Self::Overrun { overrun, backtrace },
            None => Self::Trap { what: one_line(&what), backtrace },
        }
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
            Self::Panic { backtrace, .. } | Self::Trap { backtrace, .. } | Self::Overrun { backtrace, .. } => backtrace,
            _ => &[],
        }
    }

    /// Whether it ran out of time.
    #[must_use]
    pub fn was_slow(&self) -> bool {
        matches!(self, Self::Overrun { overrun: Overrun::Deadline(_) | Overrun::TooManySlow(_), .. })
    }
}

/// How wasmtime begins the text of a backtrace.
const BACKTRACE: &str = "error while executing at wasm backtrace";

/// The functions of a backtrace, from where the panic, if it is one, was called; with file and line where the component
/// has them.
fn functions(backtrace: &WasmBacktrace) -> Vec<String> {
    let called: Vec<(String, Option<String>)> = backtrace.frames().iter().flat_map(called_in).collect();
    let machinery = |name: &str| PANIC_MACHINERY.iter().any(|start| name.starts_with(start)) || name == "abort";
    // With debug information the author's own functions are told from those of the libraries that they call.
    let own = |place: &Option<String>| {
        place.as_ref().is_some_and(|place| !LIBRARIES.iter().any(|library| place.starts_with(library)))
    };
    let start = called.iter().position(|(_, place)| own(place));
    let panicked = start.or_else(|| called.iter().position(|(name, _)| !machinery(name))).unwrap_or(0);
    let mut functions: Vec<(String, usize)> = Vec::new();
    for (name, place) in called.into_iter().skip(panicked) {
        let function = place.map_or_else(|| name.clone(), |place| format!("{name} at {place}"));
        match functions.last_mut() {
            // A recursion is one function.
            Some((last, times)) if *last == function => *times += 1,
            _ => functions.push((function, 1)),
        }
    }
    let shown = functions.into_iter().take(FRAMES_MAX);
    shown.map(|(name, times)| if times > 1 { format!("{name} ({times} times)") } else { name }).collect()
}

/// The functions of one frame, innermost first: those that the compiler has put into each other have one together.
fn called_in(frame: &wasmtime::FrameInfo) -> Vec<(String, Option<String>)> {
    let demangled = |name: &str| one_line(&format!("{:#}", rustc_demangle::demangle(name)));
    let own = frame.func_name().map(demangled);
    let symbols = frame.symbols().iter().filter_map(|symbol| {
        let name = symbol.name().map(demangled).or_else(|| own.clone())?;
        let place = match (symbol.file(), symbol.line()) {
            (Some(file), Some(line)) => Some(one_line(&format!("{file}:{line}"))),
            _ => None,
        };
        Some((name, place))
    });
    let symbols: Vec<_> = symbols.collect();
    if symbols.is_empty() { own.map(|name| (name, None)).into_iter().collect() } else { symbols }
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
