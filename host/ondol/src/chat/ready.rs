//! Whether messages can be stored and all three handlers answer. The handlers are asked now and then, and their answer is
//! remembered in between. Knows nothing of who wants to know.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Chat;
use ondol_host_handlers::{Cause, Fault, HandlerKind};

/// How long an answer about readiness holds: asking more often costs nothing.
const READY_HOLDS: Duration = Duration::from_millis(500);

/// What keeps the chat from serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// The handlers that do not answer.
    pub handlers: Vec<HandlerKind>,
    /// Whether nothing can be stored.
    pub storage: bool,
    /// What each has failed with.
    reasons: Vec<String>,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reasons.join("; "))
    }
}

/// The last answer about readiness.
pub(super) struct Ready {
    started: Instant,
    last: Mutex<Asked>,
}

struct Asked {
    at: Option<Instant>,
    answer: Result<(), NotReady>,
}

impl Ready {
    /// At the start whoever answers has just answered the gate.
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), last: Mutex::new(Asked { at: None, answer: Ok(()) }) }
    }

    /// Since the start.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn last(&self) -> MutexGuard<'_, Asked> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chat {
    /// Whether messages can be stored and all three handlers answer. Asks the handlers at most twice a second; who asks
    /// meanwhile hears the last answer.
    ///
    /// # Errors
    ///
    /// What does not, and what each has failed with. A built-in handler's answer does not count.
    pub fn ready(&self) -> Result<(), NotReady> {
        if let Some(reason) = self.pipeline.store.failure() {
            let reasons = vec![format!("nothing can be stored: {reason}")];
            return Err(NotReady { handlers: Vec::new(), storage: true, reasons });
        }
        self.handlers_ready()
    }

    fn handlers_ready(&self) -> Result<(), NotReady> {
        {
            let mut last = self.ready.last();
            if last.at.is_some_and(|at| at.elapsed() < READY_HOLDS) {
                return last.answer.clone();
            }
            last.at = Some(Instant::now());
        }
        // Not under the lock: a handler may take until its deadline, and nobody is to wait for that.
        let faults = self.handlers.unanswered();
        let answer = if faults.is_empty() {
            Ok(())
        } else {
            let handlers = faults.iter().map(|fault| fault.handler).collect();
            Err(NotReady { handlers, storage: false, reasons: faults.iter().map(told).collect() })
        };
        let mut last = self.ready.last();
        match &answer {
            // Once, however often somebody asks.
            Err(not) if last.answer != answer => tracing::error!(reason = %not, "not ready: a handler does not answer"),
            Ok(()) if last.answer.is_err() => tracing::info!("ready again: all three handlers answer"),
            _ => {}
        }
        last.answer.clone_from(&answer);
        answer
    }
}

fn told(fault: &Fault) -> String {
    match fault.cause {
        Cause::NoVersion => format!("{} has no version, the built-in handler answers in its place", fault.handler),
        _ => fault.to_string(),
    }
}
