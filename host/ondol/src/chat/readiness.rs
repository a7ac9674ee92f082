//! Readiness: whether messages can be stored and all three handlers answer. The handlers are called at most twice a second, and
//! their answer is remembered in between.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cluster::Hosts;
use super::room_queue::ChatPipeline;
use ondol_host_handlers::{Cause, Fault, HandlerKind, Handlers};

/// How long an answer about readiness holds: asking more often costs nothing.
const READY_HOLDS: Duration = Duration::from_millis(500);

/// Why the chat is not ready.
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
pub(super) struct Readiness {
    handlers: Arc<Handlers>,
    pipeline: Arc<ChatPipeline>,
    /// The other hosts, if the chat has several.
    hosts: Option<Arc<Hosts>>,
    started: Instant,
    last: Mutex<Asked>,
}

struct Asked {
    at: Option<Instant>,
    answer: Result<(), NotReady>,
}

impl Readiness {
    /// At the start the handlers have just passed the admission checks.
    pub(super) fn new(handlers: Arc<Handlers>, pipeline: Arc<ChatPipeline>, hosts: Option<Arc<Hosts>>) -> Self {
        let last = Mutex::new(Asked { at: None, answer: Ok(()) });
        Self { handlers, pipeline, hosts, started: Instant::now(), last }
    }

    /// Since the start.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether messages can be stored and all three handlers answer.
    ///
    /// # Errors
    ///
    /// What does not, and what each has failed with. A built-in handler's answer does not count.
    pub(super) fn check(&self) -> Result<(), NotReady> {
        if let Some(reason) = self.pipeline.store.failure() {
            let reasons = vec![format!("nothing can be stored: {reason}")];
            return Err(NotReady { handlers: Vec::new(), storage: true, reasons });
        }
        if let Some(reason) = self.hosts.as_ref().and_then(|hosts| hosts.failure()) {
            return Err(NotReady { handlers: Vec::new(), storage: false, reasons: vec![reason] });
        }
        self.handlers_ready()
    }

    fn handlers_ready(&self) -> Result<(), NotReady> {
        {
            let mut last = self.last();
            if last.at.is_some_and(|at| at.elapsed() < READY_HOLDS) {
                return last.answer.clone();
            }
            last.at = Some(Instant::now());
        }
        // Not under the lock: a handler may take until its deadline.
        let faults = self.handlers.unanswered();
        let answer = if faults.is_empty() {
            Ok(())
        } else {
            let handlers = faults.iter().map(|fault| fault.handler).collect();
            Err(NotReady { handlers, storage: false, reasons: faults.iter().map(describe).collect() })
        };
        let mut last = self.last();
        match &answer {
            // Each change is logged once.
            Err(not) if last.answer != answer => tracing::error!(reason = %not, "not ready: a handler does not answer"),
            Ok(()) if last.answer.is_err() => tracing::info!("ready again: all three handlers answer"),
            _ => {}
        }
        last.answer.clone_from(&answer);
        answer
    }

    fn last(&self) -> MutexGuard<'_, Asked> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe(fault: &Fault) -> String {
    match fault.cause {
        Cause::NoVersion => format!("{} has no version, its built-in handler answers", fault.handler),
        _ => fault.to_string(),
    }
}
