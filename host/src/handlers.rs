//! The handlers: the only door to wasmtime. Knows the model and nothing of sockets, rooms or storage.
//!
//! [`Handlers::current`] gives the release that is active; a message takes it once and asks it everything. [`Handlers::offer`]
//! takes new bytes for one handler, and makes them active for the next message when they prove good.

mod bindings;
mod cases;
mod engine;
mod exports;
mod fault;
mod inspect;
mod kind;
mod load;
mod output;
mod release;
mod sandbox;
mod standin;
mod state;
mod value;
mod version;
mod wasi;
mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

pub use cases::{CaseReport, Cases};
pub use fault::{Cause, Fault, Overrun};
pub use inspect::{Item, Report};
pub use kind::{HandlerKind, VersionId};
pub use load::LoadError;
pub use release::Release;
pub use sandbox::{Cost, Sandbox};
pub use value::Outcome;
pub use watch::watch;

use crate::config::Settings;
use load::Loaded;

/// What an operator has set for one handler.
pub type SettingsMap = BTreeMap<String, String>;

/// The active release, and the way to the next.
pub struct Handlers {
    active: ArcSwap<Release>,
    sandbox: Arc<Sandbox>,
    settings: [Arc<SettingsMap>; 3],
    changing: Mutex<()>,
}

impl Handlers {
    /// Loads the three handlers from `directory`. Compiles, so not for a worker.
    ///
    /// # Errors
    ///
    /// Every reason, of all three, each with the file that it is about.
    pub fn open(directory: &Path, sandbox: Sandbox, settings: &Settings) -> Result<Self, LoadError> {
        let sandbox = Arc::new(sandbox);
        let settings = [&settings.rooms, &settings.messages, &settings.events].map(|map| Arc::new(map.clone()));
        let mut reasons = Vec::new();
        let (mut rooms, mut messages, mut events) = (None, None, None);
        for (handler, settings) in HandlerKind::ALL.into_iter().zip(&settings) {
            let path = directory.join(handler.file_name());
            match read(&path).and_then(|bytes| load::load(&sandbox, handler, &bytes, settings)) {
                Ok(Loaded::Rooms(version)) => rooms = Some(Arc::new(version)),
                Ok(Loaded::Messages(version)) => messages = Some(Arc::new(version)),
                Ok(Loaded::Events(version)) => events = Some(Arc::new(version)),
                Err(error) => reasons.extend(error.0.into_iter().map(|reason| format!("{}: {reason}", path.display()))),
            }
        }
        match (rooms, messages, events) {
            (Some(rooms), Some(messages), Some(events)) => {
                let active = ArcSwap::from_pointee(Release { rooms, messages, events });
                Ok(Self { active, sandbox, settings, changing: Mutex::default() })
            }
            _ => Err(LoadError(reasons)),
        }
    }

    /// The release that the next message begins with.
    #[must_use]
    pub fn current(&self) -> Arc<Release> {
        self.active.load_full()
    }

    /// Makes `bytes` the active version of `handler`, once they have proved good. Messages in flight finish on the
    /// release that they began with. None when that version is active already. Compiles, so not for a worker.
    ///
    /// # Errors
    ///
    /// Every reason why not. The standing version stays.
    pub fn offer(&self, handler: HandlerKind, bytes: &[u8]) -> Result<Option<VersionId>, LoadError> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = self.settings_of(handler);
        let id = self.version_of(handler, bytes);
        let standing = self.current();
        if standing.version(handler) == id {
            return Ok(None);
        }
        let loaded = load::load(&self.sandbox, handler, bytes, settings)?;
        self.active.store(Arc::new(loaded.into(&standing)));
        Ok(Some(id))
    }

    /// The version that `bytes` would be of `handler`.
    fn version_of(&self, handler: HandlerKind, bytes: &[u8]) -> VersionId {
        VersionId::of(bytes, self.settings_of(handler))
    }

    fn settings_of(&self, handler: HandlerKind) -> &Arc<SettingsMap> {
        let [rooms, messages, events] = &self.settings;
        match handler {
            HandlerKind::Rooms => rooms,
            HandlerKind::Messages => messages,
            HandlerKind::Events => events,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|error| LoadError::because(format!("it cannot be read: {error}")))
}
