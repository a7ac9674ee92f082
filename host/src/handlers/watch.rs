//! Watches the directory of handlers and offers what has changed. Knows files; what becomes of their bytes is
//! [`Handlers::offer`]'s business.
//!
//! Whatever happens in the directory leads to the same question: do the three files hold something that was not offered
//! yet? So an editor's rename, a symbolic link that flips, a touch and a file that is written piece by piece need no
//! rules of their own. A look at the files' sizes and times now and then sees what no event tells, such as a change
//! behind a link.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use notify::{EventKind, RecursiveMode, Watcher as _};
use sha2::{Digest as _, Sha256};

use super::{HandlerKind, Handlers};

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

/// Starts to watch `directory` for `handlers`, on a thread of its own. Where the system offers no events, the files are
/// still looked at every second.
///
/// # Errors
///
/// When no thread can be had.
pub fn watch(directory: &Path, handlers: Arc<Handlers>) -> std::io::Result<Watch> {
    let (signals, heard) = channel();
    let watcher = match events(directory, signals.clone()) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "no events for the handlers' directory, its files are looked at every second");
            None
        }
    };
    let mut files = Files { directory: directory.to_owned(), handlers, seen: Default::default(), stamps: None };
    files.remember_active();
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
struct Files {
    directory: PathBuf,
    handlers: Arc<Handlers>,
    seen: [Option<[u8; 32]>; 3],
    stamps: Option<[Stamp; 3]>,
}

impl Files {
    /// What the server started with needs no offer.
    fn remember_active(&mut self) {
        let active = self.handlers.current();
        for (handler, seen) in HandlerKind::ALL.into_iter().zip(&mut self.seen) {
            let Ok(bytes) = std::fs::read(self.directory.join(handler.file_name())) else { continue };
            if self.handlers.version_of(handler, &bytes) == active.version(handler) {
                *seen = Some(Sha256::digest(&bytes).into());
            }
        }
    }

    fn follow(mut self, heard: &Receiver<Signal>) {
        loop {
            match heard.recv_timeout(LOOK) {
                Ok(Signal::Changed) => self.settle(heard),
                Ok(Signal::LookAgain) => {
                    self.seen = Default::default();
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
                Ok(Signal::LookAgain) => self.seen = Default::default(),
                Ok(Signal::Stop) | Err(_) => break,
            }
        }
        self.offer();
    }

    /// Offers each file whose content is not that of its last offer. A file that is not there says nothing: it may be
    /// in the middle of being replaced, and the standing version goes on without it.
    fn offer(&mut self) {
        for (handler, seen) in HandlerKind::ALL.into_iter().zip(&mut self.seen) {
            let path = self.directory.join(handler.file_name());
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let content = Some(Sha256::digest(&bytes).into());
            if std::mem::replace(seen, content) == content {
                continue;
            }
            match self.handlers.offer(handler, &bytes) {
                Ok(Some(version)) => tracing::info!(%handler, %version, "handler is active"),
                Ok(None) => tracing::debug!(%handler, "the handler's file holds the active version"),
                Err(error) => {
                    let standing = self.handlers.current().version(handler);
                    tracing::error!(
                        %handler,
                        file = %path.display(),
                        reason = %error,
                        %standing,
                        "handler was not taken, the standing version goes on"
                    );
                }
            }
        }
    }
}

/// Size and time of a file, links followed.
fn stamp(path: &Path) -> Stamp {
    let file = std::fs::metadata(path).ok()?;
    Some((file.len(), file.modified().ok()))
}
