//! The log: a thread of its own writes lines to standard error, so that a stalled reader stops nothing else. Lines that
//! exceed the queue are dropped and counted.

mod format;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal as _, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tracing_subscriber::fmt::FormatEvent;
use tracing_subscriber::fmt::format::DefaultFields;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::{Config, LogFormat};
use format::{Json, Text};

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
    // The bus says what befalls its connection in its own words. A filter that names the library overrides this.
    (format!("async_nats=off,{filter}"), renamed)
}

/// Changes the filter of a log that is running.
pub(super) type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

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
    /// Makes a log to standard error the one of this process.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(super) fn install(config: &Config) -> anyhow::Result<(Self, SetFilter)> {
        let (filter, renamed) = filter(&config.log);
        let filter = EnvFilter::try_new(filter).context("the option `log`")?;
        let log = Self::start(io::stderr(), config.limits.log_queue_max).context("cannot start the log thread")?;
        let set_filter = match config.log_format {
            LogFormat::Text => log.subscribe(filter, Text::new(io::stderr().is_terminal())),
            LogFormat::Json => log.subscribe(filter, Json),
        };
        panic::set_hook(Box::new(log_panic));
        for (old, new) in renamed {
            tracing::warn!(old, new, "log filter: the module {old} is now called {new}");
        }
        Ok((log, set_filter))
    }

    /// Receives the events of the process that pass the filter, in this form.
    fn subscribe<F>(&self, filter: EnvFilter, form: F) -> SetFilter
    where
        F: FormatEvent<Registry, DefaultFields> + Send + Sync + 'static,
    {
        let lines = self.clone();
        let subscriber = tracing_subscriber::fmt()
            // A log that cannot be written must not stop the server: the default would panic.
            .log_internal_errors(false)
            .event_format(form)
            .with_writer(move || lines.clone())
            .with_env_filter(filter)
            .with_filter_reloading();
        let handle = subscriber.reload_handle();
        subscriber.init();
        Box::new(move |filter| {
            if let Err(error) = handle.reload(filter) {
                tracing::error!(%error, "the log filter stays as it was: {error}");
            }
        })
    }

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

/// Logs a panic like anything else. The default writes to standard error itself, which blocks when that is not read.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let at = panic.location().map(ToString::to_string);
    let backtrace = Some(Backtrace::capture()).filter(|it| it.status() == BacktraceStatus::Captured);
    let message = panic.payload_as_str().unwrap_or("no message");
    tracing::error!(
        thread,
        at,
        backtrace = backtrace.map(tracing::field::display),
        "thread {thread} panicked: {message}"
    );
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
        assert_eq!(text, "async_nats=off,info,ondol_host_store=debug,ondol::http=trace");
        assert_eq!(renamed, [("ondol::store", "ondol_host_store")]);
        assert_eq!(filter("ondol=debug"), ("async_nats=off,ondol=debug".to_owned(), Vec::new()));
    }
}
