//! The standard error of a server, kept in memory. Knows nothing of what the lines mean.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::Result;
use tokio::sync::watch;

use crate::deadline::within;

/// The lines so far. Clones share them.
#[derive(Debug, Clone)]
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    grown: watch::Receiver<usize>,
}

impl Log {
    /// Reads `source` to its end on a thread of its own.
    pub fn follow(source: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (announce, grown) = watch::channel(0);
        let kept = Arc::clone(&lines);
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut bytes = Vec::new();
            while source.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
                let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                bytes.clear();
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push(line);
                announce.send_replace(kept.len());
            }
        });
        Self { lines, grown }
    }

    /// How many lines there are: a mark to wait from.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The lines from `mark` on.
    #[must_use]
    pub fn since(&self, mark: usize) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().skip(mark).cloned().collect()
    }

    /// Waits for the end of the log: the process has closed it.
    ///
    /// # Errors
    /// When it stays open.
    pub async fn end(&self) -> Result<()> {
        let mut grown = self.grown.clone();
        within("the end of the log", async { while grown.changed().await.is_ok() {} }).await
    }

    /// The lines of a process that has ended, when they have all been read or a second has passed. Blocks.
    #[must_use]
    pub fn last(&self) -> Vec<String> {
        for _ in 0..200 {
            if self.grown.has_changed().is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.since(0)
    }

    /// Waits for a line from `mark` on that contains all of `parts`, and returns it.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn line_since(&self, mark: usize, parts: &[&str]) -> Result<String> {
        let mut grown = self.grown.clone();
        let found = async {
            loop {
                grown.borrow_and_update();
                let line = self.since(mark).into_iter().find(|line| parts.iter().all(|part| line.contains(part)));
                if let Some(line) = line {
                    return Some(line);
                }
                // The writer is gone: no more lines will come.
                if grown.changed().await.is_err() {
                    return self.since(mark).into_iter().find(|line| parts.iter().all(|part| line.contains(part)));
                }
            }
        };
        within(format!("a log line with {parts:?}"), found)
            .await?
            .ok_or_else(|| anyhow::anyhow!("the server ended without a log line that contains {parts:?}"))
    }
}
