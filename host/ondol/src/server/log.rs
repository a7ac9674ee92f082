//! The log: a thread of its own writes lines to standard error, so that a stalled reader stops nothing else. Lines that
//! exceed the queue are dropped and counted.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing_subscriber::EnvFilter;

/// How often [`Log::finish`] checks whether everything is written.
const CHECK_INTERVAL: Duration = Duration::from_millis(2);

/// Old module names that a filter may still use, from before they became crates.
const RENAMED: [(&str, &str); 4] = [
    ("ondol::handlers", "ondol_host_handlers"),
    ("ondol::model", "ondol_host_model"),
    ("ondol::rooms", "ondol_host_rooms"),
    ("ondol::store", "ondol_host_store"),
];

/// The filter with current module names, and the names that were replaced.
pub(super) fn filter(given: &str) -> (String, Vec<(&'static str, &'static str)>) {
    let renamed: Vec<_> = RENAMED.into_iter().filter(|(old, _)| given.contains(old)).collect();
    let filter = renamed.iter().fold(given.to_owned(), |filter, (old, new)| filter.replace(old, new));
    (filter, renamed)
}

/// Changes the filter of a log that is running.
pub(super) type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// Makes this the log of the process.
pub(super) fn install(filter: EnvFilter, log: Log) -> SetFilter {
    let lines = tracing_subscriber::fmt()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(move || log.clone())
        // A log that cannot be written must not stop the server: the default would panic.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_filter_reloading();
    let handle = lines.reload_handle();
    lines.init();
    Box::new(move |filter| {
        if let Err(error) = handle.reload(filter) {
            tracing::error!(%error, "the log filter stays as it was: {error}");
        }
    })
}

/// The writer that tracing uses. Never blocks.
#[derive(Clone)]
pub(super) struct Log {
    queue: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Lines that are queued or being written.
    waiting: AtomicUsize,
    /// Not reported in the log yet.
    dropped: AtomicUsize,
    /// Since startup.
    dropped_ever: AtomicU64,
}

impl Log {
    /// A log to `out` with a queue of at most `lines_max` lines.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(super) fn start(out: impl Write + Send + 'static, lines_max: usize) -> io::Result<Self> {
        let (queue, lines) = sync_channel(lines_max);
        let counts = Arc::new(Counts::default());
        let log = Self { queue, counts: Arc::clone(&counts) };
        thread::Builder::new().name("log".to_owned()).spawn(move || write_all(out, &lines, &counts))?;
        Ok(log)
    }

    /// How many lines were dropped since startup.
    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped_ever.load(Ordering::Relaxed)
    }

    /// Waits until all lines are written, at most for `longest`.
    pub(super) fn finish(&self, longest: Duration) {
        let begun = Instant::now();
        while self.counts.waiting.load(Ordering::Acquire) > 0 && begun.elapsed() < longest {
            thread::sleep(CHECK_INTERVAL);
        }
    }
}

impl Write for Log {
    /// Queues a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.counts.waiting.fetch_add(1, Ordering::AcqRel);
        if self.queue.try_send(line.to_vec()).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::AcqRel);
            self.counts.dropped.fetch_add(1, Ordering::AcqRel);
            self.counts.dropped_ever.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines as they come. A failed write loses its line: there is nowhere to report it.
fn write_all(mut out: impl Write, lines: &Receiver<Vec<u8>>, counts: &Counts) {
    while let Ok(line) = lines.recv() {
        let _ = out.write_all(&line);
        // The queue is empty now, so this line fits.
        if counts.waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
            let dropped = counts.dropped.swap(0, Ordering::AcqRel);
            if dropped > 0 {
                tracing::warn!(dropped, "{dropped} log lines were dropped: the reader of stderr is too slow");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_may_use_the_old_names_of_modules() {
        let (text, renamed) = filter("info,ondol::store=debug,ondol::http=trace");
        assert_eq!(text, "info,ondol_host_store=debug,ondol::http=trace");
        assert_eq!(renamed, [("ondol::store", "ondol_host_store")]);
        assert_eq!(filter("ondol=debug"), ("ondol=debug".to_owned(), Vec::new()));
    }
}
