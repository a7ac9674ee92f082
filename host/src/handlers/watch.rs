//! Watches the directory of handlers and offers what has changed. Knows files; what becomes of their bytes is the business
//! of whoever asked for the watch.
//!
//! Whatever happens in the directory leads to the same question: do the three files hold something that was not offered
//! yet? So an editor's rename, a symbolic link that flips, a touch and a file that is written piece by piece need no
//! rules of their own. A look at the files' sizes and times now and then sees what no event tells, such as a change
//! behind a link.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use notify::{EventKind, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};

use super::HandlerKind;

/// How long the directory has to be quiet before it is looked at: files are often written in several steps.
const QUIET: Duration = Duration::from_millis(40);

/// How long it may be busy before it is looked at all the same.
const SETTLE_MAX: Duration = Duration::from_millis(400);

/// How often the files are looked at without being told.
const LOOK: Duration = Duration::from_secs(1);

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

/// The hash that tells one content from another.
#[must_use]
pub fn content(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Starts to watch `directory`, on a thread of its own. `offer` is given each file whose content is another than was
/// `known`, and says whether it was taken. Where the system offers no events, the files are still looked at every second.
///
/// # Errors
///
/// When no thread can be had.
pub fn watch(
    directory: &Path,
    known: [Known; 3],
    offer: impl FnMut(HandlerKind, Vec<u8>) -> bool + Send + 'static,
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
    let files = Files { directory: directory.to_owned(), offer, known, stamps: None };
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

type Stamp = Option<(u64, Option<SystemTime>)>;

/// The three files, and what was in them when they were last offered.
struct Files<O> {
    directory: PathBuf,
    offer: O,
    known: [Known; 3],
    stamps: Option<[Stamp; 3]>,
}

impl<O: FnMut(HandlerKind, Vec<u8>) -> bool> Files<O> {
    fn follow(mut self, heard: &Receiver<Signal>) {
        loop {
            match heard.recv_timeout(LOOK) {
                Ok(Signal::Changed) => self.settle(heard),
                Ok(Signal::LookAgain) => {
                    self.forget_refused();
                    self.offer();
                }
                Err(RecvTimeoutError::Timeout) => {
                    let stamps = HandlerKind::ALL.map(|handler| stamp(&self.directory.join(handler.file_name())));
                    if self.stamps.replace(stamps).is_some_and(|before| before != stamps) {
                        self.offer();
                    }
                }
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
        for known in &mut self.known {
            *known = known.filter(|(_, taken)| *taken);
        }
    }

    /// Offers each file whose content is not that of its last offer. A file that is not there says nothing: it may be
    /// in the middle of being replaced, and the standing version goes on without it.
    fn offer(&mut self) {
        for (handler, known) in HandlerKind::ALL.into_iter().zip(&mut self.known) {
            let Ok(bytes) = std::fs::read(self.directory.join(handler.file_name())) else { continue };
            let content = content(&bytes);
            if known.is_none_or(|(before, _)| before != content) {
                *known = Some((content, (self.offer)(handler, bytes)));
            }
        }
    }
}

/// Size and time of a file, links followed.
fn stamp(path: &Path) -> Stamp {
    let file = std::fs::metadata(path).ok()?;
    Some((file.len(), file.modified().ok()))
}
