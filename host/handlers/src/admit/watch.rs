//! Watches the directory of handlers and offers files that have changed. Knows files, and nothing of what becomes of
//! them.
//!
//! Every event in the directory leads to the same question: do the three files, and the cases beside them, hold something
//! that was not offered yet?
//! So an editor's rename, a symbolic link that flips, a touch and a file that is written piece by piece need no rules
//! of their own. A regular check of the files' stamps finds changes without an event, such as one behind a link.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use notify::{EventKind, RecursiveMode, Watcher as _};

use super::file_kind::is_unfinished;
use super::handler_file::{FileContent, HandlerFile, read_handler};
use crate::run::kind::HandlerKind;
use crate::run::limits::AdmissionLimits;

/// How long the directory has to be quiet before it is scanned: files are often written in several steps.
const QUIET: Duration = Duration::from_millis(40);

/// How long it may be busy before it is scanned anyway.
const SETTLE_MAX: Duration = Duration::from_millis(400);

/// How often the files' stamps are checked without an event.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The same while a file is incomplete.
const CHECK_INTERVAL_UNFINISHED: Duration = Duration::from_millis(100);

/// How long an incomplete file has to stay unchanged before it is offered as it is.
const UNFINISHED_MAX: Duration = Duration::from_secs(2);

/// A watch that runs until it is dropped.
pub struct Watch {
    signals: Sender<Signal>,
    _watcher: Option<notify::RecommendedWatcher>,
}

enum Signal {
    Changed,
    Rescan,
    Stop,
}

impl Watch {
    /// Scans the files at once, and offers those again that were rejected.
    pub fn rescan(&self) {
        let _ = self.signals.send(Signal::Rescan);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.signals.send(Signal::Stop);
    }
}

/// A file's content when it was last offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastOffered {
    content: [u8; 32],
    accepted: bool,
}

impl LastOffered {
    /// This content was offered, and accepted or rejected.
    #[must_use]
    pub fn new(file: &HandlerFile, accepted: bool) -> Self {
        Self { content: file.content(), accepted }
    }
}

/// Starts to watch `directory`, on a thread of its own. `offer` receives each file whose content differs from what was
/// offered last, or why it cannot be read, and returns whether it was accepted. Where the system has no events, the
/// files are still checked every second.
///
/// # Errors
///
/// When no thread is available.
pub fn watch(
    directory: &Path,
    limits: AdmissionLimits,
    last_offered: [Option<LastOffered>; 3],
    offer: impl FnMut(HandlerKind, FileContent) -> bool + Send + 'static,
) -> std::io::Result<Watch> {
    let (signals, heard) = channel();
    let watcher = match events(directory, signals.clone()) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            let path = directory.display();
            tracing::warn!(%error, %path, "no events for {path}, checking its files every second: {error}");
            None
        }
    };
    // The first scan finds what changed before the watch began.
    let _ = signals.send(Signal::Changed);
    let files = Files { directory: directory.to_owned(), limits, offer, watched: last_offered.map(Watched::new) };
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

/// The stamps of a handler's file and of its cases.
type Stamps = [Option<Stamp>; 2];

/// The three files.
struct Files<O> {
    directory: PathBuf,
    limits: AdmissionLimits,
    offer: O,
    watched: [Watched; 3],
}

/// One of them.
struct Watched {
    last_offered: Option<LastOffered>,
    stamps: Stamps,
    /// When it was first seen with these stamps.
    since: Instant,
    /// How long it has to keep them before it is offered although it is incomplete.
    unfinished_max: Duration,
    /// The hash of its content, while it is incomplete.
    unfinished: Option<[u8; 32]>,
    /// The problem that was reported: which file, and why it cannot be read.
    reported: Option<(Identities, String)>,
}

/// The device and inode of a component and of its cases, where they are.
type Identities = [Option<(u64, u64)>; 2];

impl<O: FnMut(HandlerKind, FileContent) -> bool> Files<O> {
    fn follow(mut self, heard: &Receiver<Signal>) {
        loop {
            let unfinished = self.watched.iter().any(|watched| watched.unfinished.is_some());
            match heard.recv_timeout(if unfinished { CHECK_INTERVAL_UNFINISHED } else { CHECK_INTERVAL }) {
                Ok(Signal::Changed) => self.settle(heard),
                Ok(Signal::Rescan) => {
                    self.forget_rejected();
                    self.offer();
                }
                Err(RecvTimeoutError::Timeout) => self.check(),
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
                Ok(Signal::Rescan) => self.forget_rejected(),
                Ok(Signal::Stop) | Err(_) => break,
            }
        }
        self.offer();
    }

    /// Rejected files are offered again. Accepted ones are not: an operator may have made another version active since.
    fn forget_rejected(&mut self) {
        for watched in &mut self.watched {
            watched.last_offered = watched.last_offered.filter(|last| last.accepted);
            watched.reported = None;
        }
    }

    /// Offers the files whose stamps have changed, and the incomplete ones.
    fn check(&mut self) {
        for (handler, watched) in HandlerKind::ALL.into_iter().zip(&mut self.watched) {
            if watched.unfinished.is_some() || watched.stamps != stamps(&self.directory, handler) {
                watched.offer(&self.directory, handler, &self.limits, &mut self.offer);
            }
        }
    }

    fn offer(&mut self) {
        for (handler, watched) in HandlerKind::ALL.into_iter().zip(&mut self.watched) {
            watched.offer(&self.directory, handler, &self.limits, &mut self.offer);
        }
    }
}

impl Watched {
    fn new(last_offered: Option<LastOffered>) -> Self {
        let (since, unfinished_max) = (Instant::now(), UNFINISHED_MAX);
        Self { last_offered, stamps: [None; 2], since, unfinished_max, unfinished: None, reported: None }
    }

    /// Offers the file if its content is not that of its last offer, or if it cannot be read and that was not reported
    /// yet. A missing file means nothing: it may be about to be replaced, and the active version does not need it. An
    /// incomplete one is offered once it has not changed for a while.
    fn offer(
        &mut self,
        directory: &Path,
        handler: HandlerKind,
        limits: &AdmissionLimits,
        offer: &mut impl FnMut(HandlerKind, FileContent) -> bool,
    ) {
        let stamps = stamps(directory, handler);
        if self.stamps != stamps {
            (self.stamps, self.since) = (stamps, Instant::now());
        }
        let quiet = self.since.elapsed() >= self.unfinished_max;
        let file = match read_handler(directory, handler, limits) {
            Ok(file) => file,
            Err(error) => {
                self.unfinished = None;
                let problem =
                    Some((stamps.map(|stamp| stamp.map(|stamp| (stamp.device, stamp.inode))), error.to_string()));
                if !error.is_absent() && self.reported != problem {
                    offer(handler, Err(error));
                }
                self.reported = problem;
                return;
            }
        };
        self.reported = None;
        let content = file.content();
        if self.last_offered.is_some_and(|last| last.content == content) {
            self.unfinished = None;
        } else if !quiet && is_unfinished(&file.wasm) {
            if self.unfinished.replace(content) != Some(content) {
                let bytes = file.wasm.len();
                tracing::debug!(%handler, bytes, "the file of {handler} is incomplete after {bytes} bytes: waiting");
            }
        } else {
            self.unfinished = None;
            self.last_offered = Some(LastOffered { content, accepted: offer(handler, Ok(file)) });
        }
    }
}

/// The stamps of a handler's file and of its cases.
fn stamps(directory: &Path, handler: HandlerKind) -> Stamps {
    [handler.file_name(), handler.cases_file_name()].map(|name| stamp(&directory.join(name)))
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

    /// What `watched` offers when it checks the file of `events`.
    fn offered(watched: &mut Watched, directory: &Path) -> Vec<Result<Vec<u8>, String>> {
        let mut offered = Vec::new();
        let limits = AdmissionLimits { handler_file_bytes_max: 100, handler_cases_bytes_max: 100 };
        watched.offer(directory, HandlerKind::Events, &limits, &mut |_, found| {
            offered.push(found.map(|file| file.wasm).map_err(|error| error.to_string()));
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
    fn a_file_that_stays_incomplete_is_offered_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let half = COMPONENT.split_at(12).0;
        std::fs::write(directory.path().join("events.wasm"), half).unwrap();
        let mut watched = watched(Duration::ZERO);
        assert_eq!(offered(&mut watched, directory.path()), [Ok(half.to_vec())]);
    }

    #[test]
    fn a_problem_is_reported_once_and_again_after_it_was_over() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("events.wasm");
        let mut watched = watched(Duration::MAX);
        assert_eq!(offered(&mut watched, directory.path()), [], "a missing file is no problem");
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
