//! What a handler prints: the end of it, bounded, for the log and for the report of a fault. Knows nothing of where that
//! goes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::kind::{HandlerKind, VersionId};

/// The lines of one call that are logged.
const LINES_MAX: usize = 20;

/// How many bytes a guest is told that it may write at once.
const WRITE_BYTES_MAX: usize = 4_096;

/// The standard output and error of one instance, joined as they come.
#[derive(Clone)]
pub(super) struct Output {
    shared: Arc<Shared>,
    bytes_max: usize,
}

#[derive(Default)]
struct Shared {
    tail: Mutex<Tail>,
    /// Something is in the tail: most calls print nothing, and need no lock to learn that.
    printed: AtomicBool,
}

#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    left_out: usize,
}

impl Output {
    /// Keeps the last `bytes_max` bytes of each call.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { shared: Arc::default(), bytes_max }
    }

    /// What was printed since the last time, or none when nothing was. Bytes that are not UTF-8 are replaced.
    pub(super) fn take(&self) -> Option<String> {
        if !self.shared.printed.load(Ordering::Acquire) {
            return None;
        }
        self.shared.printed.store(false, Ordering::Relaxed);
        let mut tail = self.tail();
        tail.cut(self.bytes_max);
        let text = String::from_utf8_lossy(&tail.bytes).trim_end().to_owned();
        let left_out = std::mem::take(&mut tail.left_out);
        tail.bytes.clear();
        // A flood leaves no memory behind in an instance that lives on.
        tail.bytes.shrink_to(WRITE_BYTES_MAX);
        Some(if left_out == 0 { text } else { format!("({left_out} bytes left out) {text}") })
    }

    fn push(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut tail = self.tail();
        self.shared.printed.store(true, Ordering::Release);
        tail.bytes.extend_from_slice(bytes);
        // Cut once in a while, so that a flood in small writes does not move all that is kept each time.
        if tail.bytes.len() > 2 * self.bytes_max + WRITE_BYTES_MAX {
            tail.cut(self.bytes_max);
        }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.shared.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    /// Leaves the last `bytes_max` bytes.
    fn cut(&mut self, bytes_max: usize) {
        let over = self.bytes.len().saturating_sub(bytes_max);
        self.bytes.drain(..over);
        self.left_out += over;
    }
}

/// Logs what a call had printed, a line each. More than [`LINES_MAX`] are left out, and said to be.
pub(super) fn log(printed: &str, handler: HandlerKind, version: VersionId, function: &str) {
    for line in printed.lines().take(LINES_MAX) {
        tracing::info!(%handler, %version, function, "{}", one_line(line));
    }
    let more = printed.lines().count().saturating_sub(LINES_MAX);
    if more > 0 {
        tracing::info!(%handler, %version, function, "({more} more lines of this call are left out)");
    }
}

/// A handler's text as a part of a log line: what would end the line, or steer a terminal, is escaped.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_debug());
        } else {
            line.push(c);
        }
    }
    line
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
        assert_eq!(output.take().as_deref(), Some("(6 bytes left out) o three"));
        assert_eq!(output.take(), None);
    }

    #[test]
    fn a_flood_in_small_writes_is_cut_as_it_comes() {
        let output = Output::new(8);
        (0..10_000).for_each(|_| output.push(b"0123456789"));
        assert!(output.tail().bytes.capacity() < 20_000);
        assert_eq!(output.take().as_deref(), Some("(99992 bytes left out) 23456789"));
    }

    #[test]
    fn a_handlers_text_stays_in_its_line() {
        assert_eq!(one_line("a\n\u{1b}[31m방"), "a\\n\\u{1b}[31m방");
    }
}
