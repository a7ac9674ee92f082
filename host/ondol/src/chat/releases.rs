//! The active versions, and how they change: deploys by an operator or the directory, and rollbacks. Everything here compiles
//! or waits for the disk, on threads for blocking work; one change at a time is prepared.

mod admitted;
mod agreement;
mod change;
mod prepared;
mod rollback;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub(in crate::chat) use self::admitted::Admitted;
pub use self::admitted::{SettingsRow, SettingsRows};
pub use self::change::{ChangeRequest, Changed, HandlerChange, ReleaseError, RollbackTarget};
use arc_swap::ArcSwap;

use self::prepared::Prepared;
use super::cluster::Hosts;
use super::release_store;
use super::room_queue::ChatPipeline;
use ondol_host_handlers::{
    ActivateError, CanaryStarted, Candidate, HandlerFile, HandlerKind, Handlers, Provenance, SettingsMap, Source,
    Trigger, VersionId, VersionSet,
};
use ondol_host_store::DirectorySnapshot;

/// A shorter wait for another deploy is not logged.
const WAIT_LOGGED: Duration = Duration::from_secs(1);

/// The handlers, with all that a change of them needs.
pub(super) struct Releases {
    pub(super) handlers: Arc<Handlers>,
    pub(super) pipeline: Arc<ChatPipeline>,
    /// What the config sets for each handler.
    config: ArcSwap<[Arc<SettingsMap>; 3]>,
    preparing: Mutex<()>,
    /// The other hosts, once they are heard.
    hosts: OnceLock<Arc<Hosts>>,
    /// What other hosts are about to make active.
    prepared: Prepared<VersionSet>,
}

impl Releases {
    pub(super) fn new(handlers: Arc<Handlers>, pipeline: Arc<ChatPipeline>, config: [Arc<SettingsMap>; 3]) -> Self {
        let (config, preparing) = (ArcSwap::from_pointee(config), Mutex::default());
        Self { handlers, pipeline, config, preparing, hosts: OnceLock::new(), prepared: Prepared::default() }
    }

    /// What the config sets for a handler.
    pub(super) fn config_of(&self, handler: HandlerKind) -> Arc<SettingsMap> {
        let config = self.config.load();
        let [rooms, messages, events] = &**config;
        Arc::clone(match handler {
            HandlerKind::Rooms => rooms,
            HandlerKind::Messages => messages,
            HandlerKind::Events => events,
        })
    }

    /// Deploys what a config that was read again sets otherwise than was `seen`. Returns the handlers that do not take it, each
    /// with the reason.
    pub(super) fn reload(
        &self,
        config: [Arc<SettingsMap>; 3],
        seen: &[DirectorySnapshot],
    ) -> Vec<(HandlerKind, String)> {
        let before = self.config.swap(Arc::new(config.clone()));
        let mut in_force = config;
        let mut rejected = Vec::new();
        for ((handler, settings), before) in HandlerKind::ALL.into_iter().zip(&mut in_force).zip(before.iter()) {
            if let Err(reason) = self.offer_news(handler, seen, None) {
                rejected.push((handler, reason));
                settings.clone_from(before);
            }
        }
        // What is deployed from now on is not remembered as deployed with settings that were rejected.
        self.config.store(Arc::new(in_force));
        rejected
    }

    pub(super) fn deploy(&self, changes: &[HandlerChange], request: &ChangeRequest) -> Result<Changed, ReleaseError> {
        self.change(changes, &self.provenance(request))
    }

    /// Runs the admission checks, then activates the changes together.
    fn change(&self, changes: &[HandlerChange], provenance: &Provenance) -> Result<Changed, ReleaseError> {
        self.over_others(provenance.expected.is_none(), || self.try_change(changes, provenance))
    }

    fn try_change(&self, changes: &[HandlerChange], provenance: &Provenance) -> Result<Changed, ReleaseError> {
        let Admitted { mut candidate, base, waited, settings, turn } = self.admit(changes, provenance)?;
        self.agree(&mut candidate, &base, provenance)?;
        let over_base = Provenance { expected: provenance.expected.or(Some(base.number)), ..provenance.clone() };
        let changed = self.activate(&candidate, &over_base).inspect_err(|error| {
            if provenance.expected.is_some() && matches!(error, ReleaseError::Activate(ActivateError::Overtaken { .. }))
            {
                self.record_rejected(candidate.over(&base.versions).ids(), provenance, error);
            }
        })?;
        drop(turn);
        if !changed.changed {
            // Only its cases are new.
            release_store::keep(&self.pipeline, candidate.fresh())?;
        }
        let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
        Ok(Changed { waited_ms, settings, ..changed })
    }

    /// Deploys handlers together as a canary. None: their versions are active already.
    pub(super) fn start_canary(
        &self,
        changes: &[HandlerChange],
        percent: u8,
        request: &ChangeRequest,
    ) -> Result<Option<(CanaryStarted, SettingsRows)>, ReleaseError> {
        let provenance = self.provenance(request);
        self.over_others(provenance.expected.is_none(), || {
            let Admitted { mut candidate, base, settings, turn: _turn, .. } = self.admit(changes, &provenance)?;
            self.agree(&mut candidate, &base, &provenance)?;
            let over_base = Provenance { expected: provenance.expected.or(Some(base.number)), ..provenance.clone() };
            let started = self.handlers.start_canary(candidate, percent, over_base)?;
            Ok(started.map(|started| (started, settings)))
        })
    }

    /// Runs the admission checks. A rejected change is recorded.
    pub(super) fn admit(
        &self,
        changes: &[HandlerChange],
        provenance: &Provenance,
    ) -> Result<Admitted<'_>, ReleaseError> {
        // Before it waits and after: what is overtaken already need not be compiled.
        self.handlers.check_expected(provenance)?;
        let arrived = Instant::now();
        let turn = self.preparing.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = arrived.elapsed();
        let actor = &provenance.actor;
        if waited > WAIT_LOGGED {
            let waited_ms = waited.as_millis();
            tracing::info!(actor, waited_ms, "deploy by {actor} has waited {waited_ms} ms for another one");
        }
        tracing::debug!(actor, "deploy by {actor} is being prepared");
        self.handlers.check_expected(provenance)?;
        let base = self.handlers.numbered();
        let active = &base.versions;
        let mut candidate = Candidate::default();
        let (mut refused, mut settings) = (Vec::new(), SettingsRows::new());
        let mut versions = active.ids();
        for change in changes {
            let source = self.source(change, active)?;
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
            let (handler, in_force) = (change.handler, Arc::clone(&source.settings));
            if let Err(error) = candidate.admit(self.handlers.admission(), source) {
                refused.push((handler, error));
                continue;
            }
            let row = SettingsRow::of(handler, &candidate, &in_force, active.settings(handler));
            log_unasked(handler, &row);
            settings.insert(handler.name(), row);
        }
        if refused.is_empty() {
            return Ok(Admitted { candidate, base, waited, settings, turn });
        }
        let error = ReleaseError::Refused(refused);
        self.record_rejected(versions, provenance, &error);
        Err(error)
    }

    /// Logs that a deploy was rejected, and records it.
    fn record_rejected(&self, versions: [VersionId; 3], provenance: &Provenance, error: &ReleaseError) {
        let release = release_store::new_release(versions, None, provenance);
        let (reason, retention) = (error.to_string(), release_store::retention(&self.pipeline.limits));
        let Provenance { actor, trigger, reason: purpose, .. } = provenance;
        let trigger = trigger.name();
        tracing::warn!(actor, trigger, purpose, reason, "deploy by {actor} ({purpose}) rejected: {reason}");
        if let Err(error) = self.pipeline.store.releases().record_rejected(release, reason, retention) {
            tracing::error!(%error, "rejected deploy not recorded: {error}");
        }
    }

    fn activate(&self, candidate: &Candidate, provenance: &Provenance) -> Result<Changed, ReleaseError> {
        Ok(match self.handlers.activate(candidate, provenance)? {
            Some(activated) => self.spread(Changed::of(activated)),
            None => Changed::unchanged(&self.handlers.numbered()),
        })
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

    /// Deploys what the directory or the config has for a handler, and logs the outcome.
    ///
    /// # Errors
    ///
    /// Why it was rejected.
    pub(super) fn offer_file(
        &self,
        handler: HandlerKind,
        file: Option<HandlerFile>,
        settings: Option<Arc<SettingsMap>>,
    ) -> Result<(), String> {
        let reason = match (&file, &settings) {
            (Some(_), Some(_)) => "its file and the config have changed",
            (None, _) => "the config has changed",
            (Some(_), None) => "its file has changed",
        };
        let provenance = Provenance::new("directory".to_owned(), Trigger::Directory, reason.to_owned());
        let settings = settings.map(|settings| SettingsMap::clone(&settings));
        let sha256 = file.as_ref().map(HandlerFile::sha256);
        let (wasm, cases) = file.map_or((None, None), |file| (Some(file.wasm), file.cases));
        let change = HandlerChange { handler, wasm, settings, cases };
        match self.change(std::slice::from_ref(&change), &provenance) {
            Ok(Changed { changed, .. }) => {
                if !changed {
                    tracing::debug!(%handler, "file of handler {handler} holds the active version");
                }
                self.remember(handler, sha256);
                Ok(())
            }
            Err(error) => {
                let reason = match &error {
                    ReleaseError::Refused(refused) => {
                        refused.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("; ")
                    }
                    other => other.to_string(),
                };
                self.log_rejected(handler, &reason);
                Err(reason)
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
        let snapshot = release_store::directory_snapshot(handler, &sha256, &self.config_of(handler));
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

    /// Deploys what has changed in a handler's file and settings since they were last deployed. False: it was rejected.
    pub(super) fn news(&self, handler: HandlerKind, seen: &[DirectorySnapshot], file: Option<&HandlerFile>) -> bool {
        // Whatever is there is new to a handler that has no version.
        let lacks_all = file.is_none() && self.handlers.current().versions().lacks(handler);
        !lacks_all && self.offer_news(handler, seen, file).is_ok()
    }

    fn offer_news(
        &self,
        handler: HandlerKind,
        seen: &[DirectorySnapshot],
        file: Option<&HandlerFile>,
    ) -> Result<(), String> {
        let lacking = self.handlers.current().versions().lacks(handler);
        if lacking && file.is_none() {
            return Ok(());
        }
        let before = seen.iter().find(|seen| seen.handler == handler.name() && !lacking);
        let config = release_store::settings_json(&self.config_of(handler));
        let new_file = file.filter(|file| before.is_none_or(|seen| seen.sha256 != file.sha256()));
        let new_settings = before.is_none_or(|seen| seen.settings != config);
        if new_file.is_none() && !new_settings {
            return Ok(());
        }
        if before.is_none() && !lacking && self.is_known_to_others(handler, file, &config) {
            self.remember(handler, file.map(HandlerFile::sha256));
            return Ok(());
        }
        let settings = new_settings.then(|| self.config_of(handler));
        self.offer_file(handler, new_file.cloned(), settings)
    }

    /// Whether another host had the same. A host that comes later begins with what is active by now.
    fn is_known_to_others(&self, handler: HandlerKind, file: Option<&HandlerFile>, settings: &str) -> bool {
        let others = self.pipeline.store.releases().snapshots_of_others().unwrap_or_default();
        others.iter().any(|seen| {
            let is_same_file = file.is_none_or(|file| seen.sha256 == file.sha256());
            seen.handler == handler.name() && seen.settings == settings && is_same_file
        })
    }

    /// The provenance of a deploy that was asked for.
    pub(super) fn provenance(&self, request: &ChangeRequest) -> Provenance {
        Provenance {
            forced: request.forced,
            expected: request.expected,
            slowness: request.slowness,
            ..Provenance::new(request.actor.clone(), Trigger::Deploy, request.reason.clone())
        }
    }
}

/// Warns of settings that a handler may not know.
fn log_unasked(handler: HandlerKind, row: &SettingsRow) {
    if !row.unasked.is_empty() {
        let (unasked, asked) = (row.unasked.join(", "), row.asked.join(", "));
        tracing::warn!(
            %handler, unasked, asked,
            "no call of the admission checks asked for these settings of handler {handler}: {unasked}"
        );
    }
}
