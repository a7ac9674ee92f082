//! What a handler prints: the end of it, bounded, for the log and for the report of a fault.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::handler_log::HandlerLog;
use super::kind::{HandlerKind, VersionId};
use super::text::one_line;

/// The lines of one call that are logged. Further ones are omitted, and the log says so.
const LINES_MAX: usize = 20;

/// How many bytes a guest is told that it may write at once.
const WRITE_BYTES_MAX: usize = 4_096;

/// The standard output and error of one instance, joined as they come.
#[derive(Clone)]
pub(crate) struct Output {
    shared: Arc<Shared>,
    bytes_max: usize,
}

#[derive(Default)]
struct Shared {
    ending: Mutex<Ending>,
    /// There is output: most calls print nothing, and need no lock to learn that.
    printed: AtomicBool,
}

#[derive(Default)]
struct Ending {
    bytes: Vec<u8>,
    omitted: usize,
}

impl Output {
    /// Keeps the last `bytes_max` bytes of each call.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { shared: Arc::default(), bytes_max }
    }

    /// The output since the last time, or none when there is none. Bytes that are not UTF-8 are replaced.
    pub(crate) fn take(&self) -> Option<String> {
        if !self.shared.printed.load(Ordering::Acquire) {
            return None;
        }
        self.shared.printed.store(false, Ordering::Relaxed);
        let mut ending = self.ending();
        ending.cut(self.bytes_max);
        let text = String::from_utf8_lossy(&ending.bytes).trim_end().to_owned();
        let omitted = std::mem::take(&mut ending.omitted);
        ending.bytes.clear();
        // A flood leaves no memory behind in an instance that lives on.
        ending.bytes.shrink_to(WRITE_BYTES_MAX);
        Some(if omitted == 0 { text } else { format!("({omitted} bytes omitted) {text}") })
    }

    fn push(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut ending = self.ending();
        self.shared.printed.store(true, Ordering::Release);
        ending.bytes.extend_from_slice(bytes);
        // Cut once in a while, so that a flood in small writes does not move all that is kept each time.
        if ending.bytes.len() > 2 * self.bytes_max + WRITE_BYTES_MAX {
            ending.cut(self.bytes_max);
        }
    }

    fn ending(&self) -> MutexGuard<'_, Ending> {
        self.shared.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ending {
    /// Leaves the last `bytes_max` bytes.
    fn cut(&mut self, bytes_max: usize) {
        let over = self.bytes.len().saturating_sub(bytes_max);
        self.bytes.drain(..over);
        self.omitted += over;
    }
}

/// Logs the output of a call, line by line, and keeps it for those who follow it.
pub(crate) fn log(log: &HandlerLog, printed: &str, handler: HandlerKind, version: VersionId, function: &'static str) {
    for line in printed.lines().take(LINES_MAX) {
        log.printed(line, handler, version, function);
        tracing::info!(%handler, %version, function, "handler {handler} {version}: {}", one_line(line));
    }
    let more = printed.lines().count().saturating_sub(LINES_MAX);
    if more > 0 {
        tracing::info!(
            %handler, %version, function,
            "handler {handler} {version}: ({more} more lines of this call are omitted)"
        );
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_flood_is_kept() {
        let output = Output::new(8);
        output.push(b"one two ");
        output.push(b"three\n");
        assert_eq!(output.take().as_deref(), Some("(6 bytes omitted) o three"));
        assert_eq!(output.take(), None);
    }

    #[test]
    fn a_flood_in_small_writes_is_cut_as_it_comes() {
        let output = Output::new(8);
        (0..10_000).for_each(|_| output.push(b"0123456789"));
        assert!(output.ending().bytes.capacity() < 20_000);
        assert_eq!(output.take().as_deref(), Some("(99992 bytes omitted) 23456789"));
    }
}
