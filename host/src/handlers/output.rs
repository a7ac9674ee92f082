//! What a handler prints: the end of it, bounded, for the log and for the report of a fault. Knows nothing of where that
//! goes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// How many bytes a guest is told that it may write at once.
const WRITE_BYTES_MAX: usize = 4_096;

/// The standard output and error of one instance, joined as they come.
#[derive(Clone)]
pub(super) struct Output {
    tail: Arc<Mutex<Tail>>,
    bytes_max: usize,
}

#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    left_out: usize,
}

impl Output {
    /// Keeps the last `bytes_max` bytes of each call.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { tail: Arc::default(), bytes_max }
    }

    /// What was printed since the last time, or none when nothing was. Bytes that are not UTF-8 are replaced.
    pub(super) fn take(&self) -> Option<String> {
        let mut tail = self.tail();
        if tail.bytes.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy(&tail.bytes).trim_end().to_owned();
        let left_out = std::mem::take(&mut tail.left_out);
        tail.bytes.clear();
        Some(if left_out == 0 { text } else { format!("({left_out} bytes left out) {text}") })
    }

    fn push(&self, bytes: &[u8]) {
        let mut tail = self.tail();
        tail.bytes.extend_from_slice(bytes);
        let over = tail.bytes.len().saturating_sub(self.bytes_max);
        tail.bytes.drain(..over);
        tail.left_out += over;
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(output.take().as_deref(), Some("(6 bytes left out) o three"));
        assert_eq!(output.take(), None);
    }
}
