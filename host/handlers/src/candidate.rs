//! What an operator wants to be active: one version, two or all three, each through the gate, and what each was made of.
//! Knows nothing of what is active.

use std::sync::Arc;

use super::exports::{EventExports, MessageExports, RoomExports};
use super::kind::{HandlerKind, VersionId};
use super::load::{LoadError, Loaded, load};
use super::sandbox::Sandbox;
use super::version::Version;
use super::{Release, SettingsMap};

/// What a version is made of.
#[derive(Clone, Debug)]
pub struct Source {
    /// Whose version it is.
    pub handler: HandlerKind,
    /// The component.
    pub wasm: Vec<u8>,
    /// What the operator has set for it.
    pub settings: Arc<SettingsMap>,
    /// The cases that it has to pass, as TOML.
    pub cases: Option<String>,
}

impl Source {
    /// The version that it makes.
    #[must_use]
    pub fn version(&self) -> VersionId {
        VersionId::of(&self.wasm, &self.settings)
    }
}

/// Versions that are ready to be active together.
#[derive(Default)]
pub struct Candidate {
    rooms: Option<Arc<Version<RoomExports>>>,
    messages: Option<Arc<Version<MessageExports>>>,
    events: Option<Arc<Version<EventExports>>>,
    fresh: Vec<Source>,
}

impl Candidate {
    /// Brings a new version through the gate. Compiles, so not for a worker.
    ///
    /// # Errors
    ///
    /// Every reason of the gate's step that stopped it.
    pub fn prove(&mut self, sandbox: &Arc<Sandbox>, source: Source) -> Result<(), LoadError> {
        self.add(load(sandbox, source.handler, &source.wasm, &source.settings, source.cases.as_deref())?);
        self.fresh.push(source);
        Ok(())
    }

    /// Brings back a version that went through the gate before and was kept. Its cases are not asked again.
    ///
    /// # Errors
    ///
    /// When it does not work any more.
    pub fn revive(&mut self, sandbox: &Arc<Sandbox>, source: &Source) -> Result<(), LoadError> {
        self.add(load(sandbox, source.handler, &source.wasm, &source.settings, None)?);
        Ok(())
    }

    /// Takes the version of a handler over from a release.
    pub fn take(&mut self, handler: HandlerKind, release: &Release) {
        self.add(match handler {
            HandlerKind::Rooms => Loaded::Rooms(Arc::clone(&release.rooms)),
            HandlerKind::Messages => Loaded::Messages(Arc::clone(&release.messages)),
            HandlerKind::Events => Loaded::Events(Arc::clone(&release.events)),
        });
    }

    /// Does without a version of a handler, whose calls are then left to the built-in one under these settings. False:
    /// nobody would answer them.
    #[must_use]
    pub fn go_without(&mut self, sandbox: &Arc<Sandbox>, handler: HandlerKind, settings: &Arc<SettingsMap>) -> bool {
        if !sandbox.stands_in(handler) {
            return false;
        }
        let (settings, sandbox) = (Arc::clone(settings), Arc::clone(sandbox));
        self.add(match handler {
            HandlerKind::Rooms => Loaded::Rooms(Arc::new(Version::none(settings, sandbox))),
            HandlerKind::Messages => Loaded::Messages(Arc::new(Version::none(settings, sandbox))),
            HandlerKind::Events => Loaded::Events(Arc::new(Version::none(settings, sandbox))),
        });
        true
    }

    fn add(&mut self, loaded: Loaded) {
        match loaded {
            Loaded::Rooms(version) => self.rooms = Some(version),
            Loaded::Messages(version) => self.messages = Some(version),
            Loaded::Events(version) => self.events = Some(version),
        }
    }

    /// What the versions were made of that nobody has kept yet.
    #[must_use]
    pub fn fresh(&self) -> &[Source] {
        &self.fresh
    }

    /// The release, when all three versions are here.
    pub(super) fn whole(&self) -> Option<Release> {
        let (rooms, messages, events) = (self.rooms.clone()?, self.messages.clone()?, self.events.clone()?);
        Some(Release { rooms, messages, events, trial: None, shadow: None })
    }

    /// The release that differs from `standing` in these versions.
    pub(super) fn over(&self, standing: &Release) -> Release {
        Release {
            rooms: self.rooms.as_ref().unwrap_or(&standing.rooms).clone(),
            messages: self.messages.as_ref().unwrap_or(&standing.messages).clone(),
            events: self.events.as_ref().unwrap_or(&standing.events).clone(),
            trial: None,
            shadow: None,
        }
    }
}
