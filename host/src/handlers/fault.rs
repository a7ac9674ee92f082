//! How a handler fails, as the operator is to read it. A refusal is no fault and never comes near this file.

use std::fmt;
use std::time::Duration;

use super::kind::{HandlerKind, VersionId};

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
    /// The end of what the call had printed: a panic's own words, for one.
    pub printed: Option<String>,
}

/// What went wrong in a call.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// It ran into a limit.
    #[error("{0}")]
    Overrun(#[from] Overrun),
    /// The guest trapped, or answered what cannot be read. With the guest's backtrace, innermost first.
    #[error("{0}")]
    Trap(String),
    /// No instance of it could be made.
    #[error("it could not be instantiated: {0}")]
    Instantiate(String),
    /// Its answer breaks the contract.
    #[error("its answer was not taken: {0}")]
    Answer(String),
}

/// A limit that a call ran into, by its name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overrun {
    /// Too long.
    #[error("it ran past its deadline (handler_deadline_ms = {})", .0.as_millis())]
    Deadline(Duration),
    /// Slow, while as many others were slow as may be.
    #[error("it was slow while as many other calls were slow as may be (handler_slow_calls_max = {0})")]
    TooManySlow(usize),
    /// Too much memory.
    #[error("it asked for more memory than it may have (handler_memory_bytes_max = {0})")]
    Memory(usize),
    /// Too large a table.
    #[error("it asked for a table of more than {0} elements")]
    Table(usize),
    /// Too deep a recursion.
    #[error("it ran out of stack (handler_stack_bytes_max = {0})")]
    Stack(usize),
    /// Too long an answer.
    #[error("it answered with more than it may (handler_answer_bytes_max = {0})")]
    Answer(usize),
}

impl Cause {
    /// Reads wasmtime's error. `stack_bytes_max` and `answer_bytes_max` are the limits in force.
    pub(super) fn read(error: &wasmtime::Error, stack_bytes_max: usize, answer_bytes_max: usize) -> Self {
        if let Some(overrun) = error.downcast_ref::<Overrun>() {
            return overrun.clone().into();
        }
        match error.downcast_ref::<wasmtime::Trap>() {
            Some(wasmtime::Trap::StackOverflow) => return Overrun::Stack(stack_bytes_max).into(),
            Some(wasmtime::Trap::UnreachableCodeReached) => {}
            _ => {}
        }
        let text = Chain(error).to_string();
        if text.contains("fuel allocated for hostcalls has been exhausted") {
            return Overrun::Answer(answer_bytes_max).into();
        }
        Self::Trap(text)
    }
}

/// An error and what caused it, innermost first, in one line where that can be.
struct Chain<'a>(&'a wasmtime::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut causes: Vec<String> = self.0.chain().map(|cause| cause.to_string()).collect();
        causes.reverse();
        f.write_str(&causes.join("; "))
    }
}
