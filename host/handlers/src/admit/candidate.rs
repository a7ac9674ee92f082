//! What an operator wants to be active: one version, two or all three, each admitted, and what each was made of. Knows
//! nothing of what is active.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::admission::{Admission, AdmittedVersion};
use super::error::AdmissionError;
use super::source::Source;
use crate::run::kind::{HandlerKind, SettingsMap};
use crate::run::version::Version;
use crate::run::version_set::VersionSet;
use crate::run::versions::{EventsVersion, MessagesVersion, RoomsVersion};

/// Versions that can be active together.
#[derive(Default)]
pub struct Candidate {
    rooms: Option<Arc<RoomsVersion>>,
    messages: Option<Arc<MessagesVersion>>,
    events: Option<Arc<EventsVersion>>,
    fresh: Vec<Source>,
    asked: Vec<(HandlerKind, BTreeSet<String>)>,
}

impl Candidate {
    /// Adds a new version, once it has passed the admission checks. Compiles, so not for a worker.
    ///
    /// # Errors
    ///
    /// Every reason of the first check that found one.
    pub fn admit(&mut self, admission: &Admission, source: Source) -> Result<(), AdmissionError> {
        let version = admission.admit(&source).inspect_err(|error| admission.count_rejected(error.stage))?;
        self.asked.push((source.handler, version.take_asked()));
        self.add(version);
        self.fresh.push(source);
        Ok(())
    }

    /// Adds a version that was admitted and stored before. Its cases are not run again.
    ///
    /// # Errors
    ///
    /// When it does not work any more.
    pub fn restore(&mut self, admission: &Admission, source: Source) -> Result<(), AdmissionError> {
        let version = admission.admit(&Source { cases: None, ..source })?;
        version.take_asked();
        self.add(version);
        Ok(())
    }

    /// Adds a handler's version that is ready already.
    pub fn take(&mut self, handler: HandlerKind, from: &VersionSet) {
        self.add(match handler {
            HandlerKind::Rooms => AdmittedVersion::Rooms(Arc::clone(&from.rooms)),
            HandlerKind::Messages => AdmittedVersion::Messages(Arc::clone(&from.messages)),
            HandlerKind::Events => AdmittedVersion::Events(Arc::clone(&from.events)),
        });
    }

    /// Does without a version of a handler: the built-in one answers under these settings. False: it has no fallback.
    #[must_use]
    pub fn go_without(&mut self, admission: &Admission, handler: HandlerKind, settings: &Arc<SettingsMap>) -> bool {
        let sandbox = admission.sandbox();
        if !sandbox.has_fallback(handler) {
            return false;
        }
        self.add(match handler {
            HandlerKind::Rooms => AdmittedVersion::Rooms(Arc::new(RoomsVersion(Version::none(settings, sandbox)))),
            HandlerKind::Messages => {
                AdmittedVersion::Messages(Arc::new(MessagesVersion(Version::none(settings, sandbox))))
            }
            HandlerKind::Events => AdmittedVersion::Events(Arc::new(EventsVersion(Version::none(settings, sandbox)))),
        });
        true
    }

    fn add(&mut self, version: AdmittedVersion) {
        match version {
            AdmittedVersion::Rooms(version) => self.rooms = Some(version),
            AdmittedVersion::Messages(version) => self.messages = Some(version),
            AdmittedVersion::Events(version) => self.events = Some(version),
        }
    }

    /// All its versions are stored.
    pub fn set_stored(&mut self) {
        self.fresh.clear();
    }

    /// What the versions were made of that are not stored yet.
    #[must_use]
    pub fn fresh(&self) -> &[Source] {
        &self.fresh
    }

    /// The settings that a new version asked for when the admission checks called it. None: it is not new.
    #[must_use]
    pub fn asked(&self, handler: HandlerKind) -> Option<&BTreeSet<String>> {
        self.asked.iter().find(|(asked, _)| *asked == handler).map(|(_, keys)| keys)
    }

    /// The versions, when all three are here.
    #[must_use]
    pub fn whole(&self) -> Option<VersionSet> {
        let (rooms, messages, events) = (self.rooms.clone()?, self.messages.clone()?, self.events.clone()?);
        Some(VersionSet { rooms, messages, events })
    }

    /// The versions of `active` with these in their place.
    #[must_use]
    pub fn over(&self, active: &VersionSet) -> VersionSet {
        VersionSet {
            rooms: self.rooms.as_ref().unwrap_or(&active.rooms).clone(),
            messages: self.messages.as_ref().unwrap_or(&active.messages).clone(),
            events: self.events.as_ref().unwrap_or(&active.events).clone(),
        }
    }
}
