//! Watches the directory of handlers and offers what has changed. Knows files; what becomes of their bytes is the business
//! of whoever asked for the watch.
//!
//! Whatever happens in the directory leads to the same question: do the three files hold something that was not offered
//! yet? So an editor's rename, a symbolic link that flips, a touch and a file that is written piece by piece need no
//! rules of their own. A look at the files' stamps now and then sees what no event tells, such as a change behind a link.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use notify::{EventKind, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};

use super::file::{FileError, read};
use super::{HandlerKind, inspect};

/// How long the directory has to be quiet before it is looked at: files are often written in several steps.
const QUIET: Duration = Duration::from_millis(40);

/// How long it may be busy before it is looked at all the same.
const SETTLE_MAX: Duration = Duration::from_millis(400);

/// How often the files are looked at without being told.
const LOOK: Duration = Duration::from_secs(1);

/// The same while the rest of a file is awaited.
const LOOK_UNFINISHED: Duration = Duration::from_millis(100);

/// How long a file that ends in the middle has to stay unchanged before it is offered as it is.
const UNFINISHED_MAX: Duration = Duration::from_secs(2);

/// A watch that runs until it is dropped.
pub struct Watch {
    signals: Sender<Signal>,
    _watcher: Option<notify::RecommendedWatcher>,
}

enum Signal {
    Changed,
    LookAgain,
    Stop,
}

impl Watch {
    /// Looks at the files at once, and offers again what was not taken before.
    pub fn look_again(&self) {
        let _ = self.signals.send(Signal::LookAgain);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.signals.send(Signal::Stop);
    }
}

/// What is known of a file: the hash of its content when it was last offered, and whether it was taken.
pub type Known = Option<([u8; 32], bool)>;

/// What a look at a file found: its content, or why there is none.
pub type Found = Result<Vec<u8>, FileError>;

/// The hash that tells one content from another.
#[must_use]
pub fn content(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Reads the file of a handler in `directory`.
///
/// # Errors
///
/// When it is larger than `bytes_max`, which is `handler_file_bytes_max`, no regular file, or cannot be read.
pub fn read_handler(directory: &Path, handler: HandlerKind, bytes_max: usize) -> Found {
    read(&directory.join(handler.file_name()), "handler_file_bytes_max", bytes_max)
}

/// Starts to watch `directory`, on a thread of its own. `offer` is given each file whose content is another than was
/// `known`, or why it cannot be read, and says whether it was taken. Where the system offers no events, the files are still
/// looked at every second.
///
/// # Errors
///
/// When no thread can be had.
pub fn watch(
    directory: &Path,
    bytes_max: usize,
    known: [Known; 3],
    offer: impl FnMut(HandlerKind, Found) -> bool + Send + 'static,
) -> std::io::Result<Watch> {
    let (signals, heard) = channel();
    let watcher = match events(directory, signals.clone()) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "no events for the handlers' directory, its files are looked at every second");
            None
        }
    };
    // What changed before the watch began is seen by the first look.
    let _ = signals.send(Signal::Changed);
    let files = Files { directory: directory.to_owned(), bytes_max, offer, watched: known.map(Watched::new) };
    std::thread::Builder::new().name("handler-watch".to_owned()).spawn(move || files.follow(&heard))?;
    Ok(Watch { signals, _watcher: watcher })
}

fn events(directory: &Path, signals: Sender<Signal>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too, and would start the next look.
        if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
            let _ = signals.send(Signal::Changed);
        }
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// What tells one state of a file from another without reading it. None: there is no such file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Set by the kernel alone, so a change that keeps size and time of modification is seen too.
    changed: (i64, i64),
}

/// The three files.
struct Files<O> {
    directory: PathBuf,
    bytes_max: usize,
    offer: O,
    watched: [Watched; 3],
}

/// One of them.
struct Watched {
    known: Known,
    stamp: Option<Stamp>,
    /// Since when it has that stamp.
    since: Instant,
    /// How long it has to have that stamp before it is offered although it ends in the middle.
    unfinished_max: Duration,
    /// Its content, while it ends in the middle and its rest is awaited.
    unfinished: Option<[u8; 32]>,
    /// The trouble that was told: which file, and why it cannot be read.
    told: Option<(Option<(u64, u64)>, String)>,
}

impl<O: FnMut(HandlerKind, Found) -> bool> Files<O> {
    fn follow(mut self, heard: &Receiver<Signal>) {
        loop {
            let unfinished = self.watched.iter().any(|watched| watched.unfinished.is_some());
            match heard.recv_timeout(if unfinished { LOOK_UNFINISHED } else { LOOK }) {
                Ok(Signal::Changed) => self.settle(heard),
                Ok(Signal::LookAgain) => {
                    self.forget_refused();
                    self.offer();
                }
                Err(RecvTimeoutError::Timeout) => self.look(),
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Waits until the directory is quiet, though not for ever, then offers.
    fn settle(&mut self, heard: &Receiver<Signal>) {
        let end = Instant::now() + SETTLE_MAX;
        while Instant::now() < end {
            match heard.recv_timeout(QUIET) {
                Ok(Signal::Changed) => {}
                Ok(Signal::LookAgain) => self.forget_refused(),
                Ok(Signal::Stop) | Err(_) => break,
            }
        }
        self.offer();
    }

    /// What was not taken is worth another try. What was taken is not: another version may have been made active since, by
    /// an operator who would not want it undone.
    fn forget_refused(&mut self) {
        for watched in &mut self.watched {
            watched.known = watched.known.filter(|(_, taken)| *taken);
            watched.told = None;
        }
    }

    /// Offers the files whose stamps have changed, and those whose rest is awaited.
    fn look(&mut self) {
        for (handler, watched) in HandlerKind::ALL.into_iter().zip(&mut self.watched) {
            if watched.unfinished.is_some() || watched.stamp != stamp(&self.directory.join(handler.file_name())) {
                watched.offer(&self.directory, handler, self.bytes_max, &mut self.offer);
            }
        }
    }

    fn offer(&mut self) {
        for (handler, watched) in HandlerKind::ALL.into_iter().zip(&mut self.watched) {
            watched.offer(&self.directory, handler, self.bytes_max, &mut self.offer);
        }
    }
}

impl Watched {
    fn new(known: Known) -> Self {
        let (since, unfinished_max) = (Instant::now(), UNFINISHED_MAX);
        Self { known, stamp: None, since, unfinished_max, unfinished: None, told: None }
    }

    /// Offers the file if its content is not that of its last offer, or if it cannot be read and that was not told yet. A file
    /// that is not there says nothing: it may be in the middle of being replaced, and the active version goes on without it.
    /// One that ends in the middle is offered once it has not changed for a while.
    fn offer(
        &mut self,
        directory: &Path,
        handler: HandlerKind,
        bytes_max: usize,
        offer: &mut impl FnMut(HandlerKind, Found) -> bool,
    ) {
        let stamp = stamp(&directory.join(handler.file_name()));
        if self.stamp != stamp {
            (self.stamp, self.since) = (stamp, Instant::now());
        }
        let quiet = self.since.elapsed() >= self.unfinished_max;
        let bytes = match read_handler(directory, handler, bytes_max) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.unfinished = None;
                let trouble = Some((stamp.map(|stamp| (stamp.device, stamp.inode)), error.to_string()));
                if !error.is_absent() && self.told != trouble {
                    offer(handler, Err(error));
                }
                self.told = trouble;
                return;
            }
        };
        self.told = None;
        let content = content(&bytes);
        if self.known.is_some_and(|(before, _)| before == content) {
            self.unfinished = None;
        } else if !quiet && inspect::is_unfinished(&bytes) {
            if self.unfinished.replace(content) != Some(content) {
                tracing::debug!(%handler, bytes = bytes.len(), "the handler's file ends in the middle, waiting for its rest");
            }
        } else {
            self.unfinished = None;
            self.known = Some((content, offer(handler, Ok(bytes))));
        }
    }
}

/// The stamp of a file, links followed.
fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: file.dev(),
        inode: file.ino(),
        bytes: file.len(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    /// A component with nothing in it but a custom section.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\0\x0d\x04name content";

    /// What `watched` offers when it looks at the file of `events`.
    fn offered(watched: &mut Watched, directory: &Path) -> Vec<Result<Vec<u8>, String>> {
        let mut offered = Vec::new();
        watched.offer(directory, HandlerKind::Events, 100, &mut |_, found| {
            offered.push(found.map_err(|error| error.to_string()));
            false
        });
        offered
    }

    fn watched(unfinished_max: Duration) -> Watched {
        Watched { unfinished_max, ..Watched::new(None) }
    }

    #[test]
    fn a_file_that_is_being_written_is_offered_once_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("events.wasm");
        let mut watched = watched(Duration::MAX);
        for end in (0..8).chain(9..COMPONENT.len()) {
            std::fs::write(&file, COMPONENT.split_at(end).0).unwrap();
            assert_eq!(offered(&mut watched, directory.path()), [], "{end} bytes");
        }
        std::fs::write(&file, COMPONENT).unwrap();
        assert_eq!(offered(&mut watched, directory.path()), [Ok(COMPONENT.to_vec())]);
        assert_eq!(offered(&mut watched, directory.path()), []);
    }

    #[test]
    fn a_file_whose_rest_does_not_come_is_offered_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let half = COMPONENT.split_at(12).0;
        std::fs::write(directory.path().join("events.wasm"), half).unwrap();
        let mut watched = watched(Duration::ZERO);
        assert_eq!(offered(&mut watched, directory.path()), [Ok(half.to_vec())]);
    }

    #[test]
    fn trouble_is_told_once_and_again_after_it_was_over() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("events.wasm");
        let mut watched = watched(Duration::MAX);
        assert_eq!(offered(&mut watched, directory.path()), [], "no file is no trouble");
        let too_large = || vec![Err("it is larger than handler_file_bytes_max = 100".to_owned())];
        for (length, expected) in [(101, too_large()), (102, vec![])] {
            std::fs::write(&file, vec![b'x'; length]).unwrap();
            assert_eq!(offered(&mut watched, directory.path()), expected);
        }
        std::fs::write(&file, COMPONENT).unwrap();
        assert_eq!(offered(&mut watched, directory.path()), [Ok(COMPONENT.to_vec())]);
        std::fs::write(&file, [b'x'; 101]).unwrap();
        assert_eq!(offered(&mut watched, directory.path()), too_large());
    }
}
