//! Moving chats in and out: files of JSON lines, one for each room and message. docs/moving.md describes them.
//!
//! Knows the store and the limits, and nothing of the servers, handlers or commands.

mod check;
mod export;
mod fields;
mod import;
mod lines;
mod partial;
mod problems;
mod reader;
mod rules;
mod written;

pub(crate) use check::Checked;
pub(crate) use export::{export_to_file, export_to_output};
pub(crate) use import::{ImportError, check_file, import_file};
pub(crate) use problems::Problems;
pub(crate) use rules::Rules;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// To whom long work reports the name of its step, how much of it is done, and of how much.
pub(crate) type ReportStep = Box<dyn FnMut(&'static str, u64, u64) + Send>;

/// Watches long work, and may stop it.
pub(crate) struct Watcher {
    stop: Arc<AtomicBool>,
    report: ReportStep,
    step: &'static str,
    total: u64,
}

impl Watcher {
    /// `stop` ends the work soon.
    pub(crate) fn new(stop: &Arc<AtomicBool>, report: ReportStep) -> Self {
        Self { stop: Arc::clone(stop), report, step: "", total: 0 }
    }

    fn begin(&mut self, step: &'static str, total: u64) {
        (self.step, self.total) = (step, total);
        self.advance(0);
    }

    fn advance(&mut self, done: u64) {
        (self.report)(self.step, done, self.total);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
