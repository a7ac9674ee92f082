//! The active versions, and how they change: deploys by an operator or the directory, and rollbacks. Everything here compiles
//! or waits for the disk, on threads for blocking work; one change at a time is prepared.

use std::sync::{Arc, Mutex, PoisonError};

use super::release_store;
use super::room_queue::ChatPipeline;
use ondol_host_handlers::{
    ActivateError, AdmissionError, Candidate, HandlerFile, HandlerKind, Handlers, NumberedRelease, Provenance,
    SettingsMap, Source, Trigger, VersionId, VersionSet,
};
use ondol_host_store::{DirectorySnapshot, StoreError, StoredRelease};

/// How far back a release is looked for when none is named.
const STEPS_MAX: usize = 1_000;

/// The handlers, with all that a change of them needs.
pub(super) struct Releases {
    pub(super) handlers: Arc<Handlers>,
    pub(super) pipeline: Arc<ChatPipeline>,
    /// What the config sets for each handler.
    config: [Arc<SettingsMap>; 3],
    preparing: Mutex<()>,
}

/// A change of one handler. A part that is not given stays as it is.
#[derive(Clone, Debug)]
pub struct HandlerChange {
    /// Which.
    pub handler: HandlerKind,
    /// Its component.
    pub wasm: Option<Vec<u8>>,
    /// All its settings.
    pub settings: Option<SettingsMap>,
    /// The cases that it has to pass.
    pub cases: Option<String>,
}

/// Who asks for a change, and why.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    /// Who.
    pub actor: String,
    /// Why, in their words.
    pub reason: String,
    /// Blocked versions are accepted, and there is no probation.
    pub forced: bool,
}

/// Where to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollbackTarget {
    /// To the release before.
    Before,
    /// To a release by its number.
    Release(u64),
    /// To a version, by the beginning of its id; the other two handlers stay.
    Version(String),
}

/// What is active after a change.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Its number.
    pub number: u64,
    /// Whether it was not active already.
    pub changed: bool,
    /// The three versions.
    pub versions: [VersionId; 3],
}

/// Why nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Admission checks failed: for each handler, why.
    #[error("{}", describe(.0))]
    Refused(Vec<(HandlerKind, AdmissionError)>),
    /// One of its versions is blocked, or it could not be recorded.
    #[error(transparent)]
    Activate(#[from] ActivateError),
    /// There is no such release or version.
    #[error("{0}")]
    Unknown(String),
    /// There is one, and it does not work any more.
    #[error("{0}")]
    Broken(String),
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    /// It is so already.
    #[error("{0}")]
    Conflict(&'static str),
}

fn describe(refused: &[(HandlerKind, AdmissionError)]) -> String {
    let reasons: Vec<String> = refused.iter().map(|(handler, error)| format!("{handler}: {error}")).collect();
    reasons.join("; ")
}

impl Releases {
    pub(super) fn new(handlers: Arc<Handlers>, pipeline: Arc<ChatPipeline>, config: [Arc<SettingsMap>; 3]) -> Self {
        Self { handlers, pipeline, config, preparing: Mutex::default() }
    }

    /// What the config sets for a handler.
    pub(super) fn config_of(&self, handler: HandlerKind) -> &Arc<SettingsMap> {
        let [rooms, messages, events] = &self.config;
        match handler {
            HandlerKind::Rooms => rooms,
            HandlerKind::Messages => messages,
            HandlerKind::Events => events,
        }
    }

    pub(super) fn deploy(&self, changes: &[HandlerChange], request: &ChangeRequest) -> Result<Changed, ReleaseError> {
        self.change(changes, &self.provenance(request))
    }

    /// Runs the admission checks, then activates the changes together.
    fn change(&self, changes: &[HandlerChange], provenance: &Provenance) -> Result<Changed, ReleaseError> {
        let candidate = self.admit(changes, provenance)?;
        let changed = self.activate(&candidate, provenance)?;
        if !changed.changed {
            // Only its cases are new.
            release_store::keep(&self.pipeline, candidate.fresh())?;
        }
        Ok(changed)
    }

    /// Runs the admission checks. A rejected change is recorded.
    pub(super) fn admit(&self, changes: &[HandlerChange], provenance: &Provenance) -> Result<Candidate, ReleaseError> {
        let _one_at_a_time = self.preparing.lock().unwrap_or_else(PoisonError::into_inner);
        let active = self.handlers.numbered().versions;
        let mut candidate = Candidate::default();
        let mut refused = Vec::new();
        let mut versions = active.ids();
        for change in changes {
            let source = self.source(change, &active)?;
            let id = source.version();
            if let Some((_, version)) =
                HandlerKind::ALL.into_iter().zip(&mut versions).find(|(handler, _)| *handler == change.handler)
            {
                *version = id;
            }
            // The active version has passed the checks; new cases for it have not.
            if active.id(change.handler) == id && change.cases.is_none() {
                continue;
            }
            if let Err(error) = candidate.admit(self.handlers.admission(), source) {
                refused.push((change.handler, error));
            }
        }
        if refused.is_empty() {
            return Ok(candidate);
        }
        let error = ReleaseError::Refused(refused);
        let release = release_store::new_release(versions, provenance);
        let (reason, retention) = (error.to_string(), release_store::retention(&self.pipeline.limits));
        let Provenance { actor, trigger, reason: purpose, .. } = provenance;
        let trigger = trigger.name();
        tracing::warn!(actor, trigger, purpose, reason, "deploy by {actor} ({purpose}) rejected: {reason}");
        if let Err(error) = self.pipeline.store.releases().record_rejected(release, reason, retention) {
            tracing::error!(%error, "rejected deploy not recorded: {error}");
        }
        Err(error)
    }

    fn activate(&self, candidate: &Candidate, provenance: &Provenance) -> Result<Changed, ReleaseError> {
        let activated = self.handlers.activate(candidate, provenance)?;
        let changed = activated.is_some();
        let NumberedRelease { number, versions } = activated.unwrap_or_else(|| self.handlers.numbered());
        Ok(Changed { number, changed, versions: versions.ids() })
    }

    /// The source of a change, completed from the active version.
    fn source(&self, change: &HandlerChange, active: &VersionSet) -> Result<Source, ReleaseError> {
        let handler = change.handler;
        let settings = change.settings.clone().map(Arc::new);
        let settings = settings.unwrap_or_else(|| Arc::clone(active.settings(handler)));
        let cases = change.cases.clone();
        if let Some(wasm) = change.wasm.clone() {
            return Ok(Source { handler, wasm, settings, cases });
        }
        let id = active.id(handler).whole();
        let stored = release_store::source(&self.pipeline, handler, &id).map_err(ReleaseError::Broken)?;
        Ok(Source { handler, wasm: stored.wasm, settings, cases: cases.or(stored.cases) })
    }

    /// Deploys what the directory or the config has for a handler, and logs the outcome. False: it was rejected.
    pub(super) fn offer_file(
        &self,
        handler: HandlerKind,
        file: Option<HandlerFile>,
        settings: Option<Arc<SettingsMap>>,
    ) -> bool {
        let reason = match (&file, &settings) {
            (Some(_), Some(_)) => "its file and the config have changed",
            (None, _) => "the config has changed",
            (Some(_), None) => "its file has changed",
        };
        let provenance = Provenance {
            actor: "directory".to_owned(),
            trigger: Trigger::Directory,
            reason: reason.to_owned(),
            back_to: None,
            forced: false,
        };
        let settings = settings.map(|settings| SettingsMap::clone(&settings));
        let sha256 = file.as_ref().map(HandlerFile::sha256);
        let (wasm, cases) = file.map_or((None, None), |file| (Some(file.wasm), file.cases));
        let change = HandlerChange { handler, wasm, settings, cases };
        match self.change(std::slice::from_ref(&change), &provenance) {
            Ok(Changed { changed, .. }) => {
                if !changed {
                    tracing::debug!(%handler, "file of handler {handler} holds the active version");
                }
                self.remember(handler, sha256)
            }
            Err(error) => {
                let reason = match &error {
                    ReleaseError::Refused(refused) => {
                        refused.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("; ")
                    }
                    other => other.to_string(),
                };
                self.log_rejected(handler, &reason);
                false
            }
        }
    }

    /// Logs why a handler's file or settings were rejected, and what answers instead.
    pub(super) fn log_rejected(&self, handler: HandlerKind, reason: &str) {
        let active = self.handlers.current().versions().id(handler);
        let kept = if active == VersionId::NONE {
            "keeping the built-in handler".to_owned()
        } else {
            format!("keeping version {active}")
        };
        tracing::error!(%handler, reason, %active, "handler {handler} rejected, {kept}: {reason}");
    }

    /// Remembers the hash of the file, or that there was none, and the config's settings as deployed.
    pub(super) fn remember(&self, handler: HandlerKind, sha256: Option<String>) -> bool {
        let sha256 = sha256.unwrap_or_else(|| self.seen_file(handler));
        let snapshot = release_store::directory_snapshot(handler, &sha256, self.config_of(handler));
        if let Err(error) = self.pipeline.store.releases().save_directory_snapshot(snapshot) {
            tracing::warn!(%handler, %error, "file of handler {handler} not remembered: the next start will deploy it again: {error}");
        }
        true
    }

    fn seen_file(&self, handler: HandlerKind) -> String {
        let seen = self.pipeline.store.releases().directory_snapshots().unwrap_or_default();
        let of_handler = |seen: &DirectorySnapshot| seen.handler == handler.name();
        seen.into_iter().find(of_handler).map(|seen| seen.sha256).unwrap_or_default()
    }

    /// Does not wait for a change that is being prepared: a rollback has to be quick.
    pub(super) fn roll_back(&self, target: &RollbackTarget, request: &ChangeRequest) -> Result<Changed, ReleaseError> {
        let mut provenance = Provenance { trigger: Trigger::Rollback, ..self.provenance(request) };
        let versions: Vec<(HandlerKind, String)> = match target {
            RollbackTarget::Version(prefix) => vec![self.kept_version(prefix)?],
            RollbackTarget::Before | RollbackTarget::Release(_) => {
                let release = self.release(target)?;
                provenance.back_to = Some(release.number);
                HandlerKind::ALL.into_iter().zip(release.versions).collect()
            }
        };
        let candidate = self.restore(&versions)?;
        self.activate(&candidate, &provenance)
    }

    /// Versions that were active once: from memory where they are there, else from the store.
    fn restore(&self, versions: &[(HandlerKind, String)]) -> Result<Candidate, ReleaseError> {
        let mut candidate = Candidate::default();
        let ready: Vec<_> = std::iter::once(self.handlers.numbered()).chain(self.handlers.previous()).collect();
        for (handler, id) in versions {
            match ready.iter().find(|release| release.versions.id(*handler).whole() == *id) {
                Some(release) => candidate.take(*handler, &release.versions),
                None => {
                    let source = release_store::source(&self.pipeline, *handler, id).map_err(ReleaseError::Broken)?;
                    let restored = candidate.restore(self.handlers.admission(), source);
                    restored.map_err(|error| ReleaseError::Refused(vec![(*handler, error)]))?;
                }
            }
        }
        Ok(candidate)
    }

    /// The release to roll back to.
    fn release(&self, target: &RollbackTarget) -> Result<StoredRelease, ReleaseError> {
        let history = self.pipeline.store.releases();
        if let RollbackTarget::Release(number) = target {
            let found = history.list(number.checked_add(1), 1)?.into_iter().find(|release| release.number == *number);
            let found = found.ok_or_else(|| ReleaseError::Unknown(format!("there is no release {number}")))?;
            if matches!(found.outcome.as_str(), "refused") {
                return Err(ReleaseError::Unknown(format!("release {number} was refused and never active")));
            }
            if let Some(handler) = self.lacking(&found) {
                return Err(ReleaseError::Unknown(format!("release {number} had no version of {handler}")));
            }
            return Ok(found);
        }
        let active = history.active()?;
        let active = active.ok_or_else(|| ReleaseError::Unknown("no release is recorded as active".to_owned()))?;
        // Repeated rollbacks step further back.
        let from = active.back_to.unwrap_or(active.number);
        let good = |release: &StoredRelease| {
            let blocked = |id: &String| VersionId::read(id).is_some_and(|id| self.handlers.evidence(id).is_some());
            matches!(release.outcome.as_str(), "replaced" | "rolled_back")
                && release.versions != active.versions
                && !release.versions.iter().any(blocked)
                && self.lacking(release).is_none()
        };
        let found = history.list_admitted(Some(from), STEPS_MAX)?.into_iter().find(good);
        found.ok_or_else(|| ReleaseError::Unknown("there is no release before the active one".to_owned()))
    }

    /// A handler that has a version now and had none in that release: there is nothing to roll back to.
    fn lacking(&self, release: &StoredRelease) -> Option<HandlerKind> {
        let current = self.handlers.current();
        let lacked = |id: &String| VersionId::read(id) == Some(VersionId::NONE);
        let versions = HandlerKind::ALL.into_iter().zip(&release.versions);
        versions
            .filter(|(_, id)| lacked(id))
            .map(|(handler, _)| handler)
            .find(|handler| !current.versions().lacks(*handler))
    }

    /// The one kept version whose id begins so.
    pub(super) fn kept_version(&self, prefix: &str) -> Result<(HandlerKind, String), ReleaseError> {
        let found = self.pipeline.store.releases().versions(&prefix.to_ascii_lowercase())?;
        match found.as_slice() {
            [version] => match version.handler.parse() {
                Ok(handler) => Ok((handler, version.id.clone())),
                Err(why) => Err(ReleaseError::Broken(why)),
            },
            [] => Err(ReleaseError::Unknown(format!("no version that begins with {prefix:?} is kept"))),
            _ => {
                Err(ReleaseError::Unknown(format!("{} versions begin with {prefix:?}: give more digits", found.len())))
            }
        }
    }

    /// Deploys what has changed in a handler's file and settings since they were last deployed. False: it was rejected.
    pub(super) fn news(&self, handler: HandlerKind, seen: &[DirectorySnapshot], file: Option<&HandlerFile>) -> bool {
        // Whatever is there is new to a handler that has no version.
        let lacking = self.handlers.current().versions().lacks(handler);
        if lacking && file.is_none() {
            return false;
        }
        let before = seen.iter().find(|seen| seen.handler == handler.name() && !lacking);
        let config = release_store::settings_json(self.config_of(handler));
        let new_file = file.filter(|file| before.is_none_or(|seen| seen.sha256 != file.sha256()));
        let new_settings = before.is_none_or(|seen| seen.settings != config);
        if new_file.is_none() && !new_settings {
            return true;
        }
        let settings = new_settings.then(|| Arc::clone(self.config_of(handler)));
        self.offer_file(handler, new_file.cloned(), settings)
    }

    /// The provenance of a deploy that was asked for.
    pub(super) fn provenance(&self, request: &ChangeRequest) -> Provenance {
        Provenance {
            actor: request.actor.clone(),
            trigger: Trigger::Deploy,
            reason: request.reason.clone(),
            back_to: None,
            forced: request.forced,
        }
    }
}
