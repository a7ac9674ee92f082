//! The release that a start begins with, and the watched directory.
//!
//! The last active release is restored from the store. Files and settings that have changed since the directory was last read
//! are then deployed on top of it, like any other change. A stored release that is broken gives way to the one before it. The
//! three files decide only if the store holds no release that works, and then all three have to pass the admission checks,
//! except those with a built-in fallback: such a handler has no version until one passes.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::release_store;
use super::releases::Releases;
use super::room_queue::ChatPipeline;
use crate::config::Config;
use ondol_host_handlers::{
    ActivateError, Admission, AdmissionError, Candidate, FileContent, HandlerFile, HandlerKind, Handlers, LastOffered,
    Provenance, RolloutLimits, SettingsMap, Source, Trigger, VersionId, Watch, read_handler, watch,
};
use ondol_host_store::StoredRelease;

/// How many releases are tried, the latest first, before a start gives up on the store.
const TRIED_MAX: usize = 20;

/// How often a start begins anew because another host has recorded a release meanwhile.
const OVERTAKEN_MAX: usize = 3;

/// The actor recorded for what the host does on its own.
const HOST: &str = "host";

/// The three files, as a start finds them.
type Files = [FileContent; 3];

/// The handlers that a start finds no version of, each with the reason.
type Lacking = Vec<(HandlerKind, String)>;

/// What a start has to go by.
struct Start<'a> {
    pipeline: &'a Arc<ChatPipeline>,
    admission: Arc<Admission>,
    limits: RolloutLimits,
    /// What the config sets for each handler.
    settings: [Arc<SettingsMap>; 3],
    directory: &'a Path,
    files: Files,
}

/// Brings the handlers up. Compiles, so not for a worker.
///
/// # Errors
///
/// When neither the store nor the directory has three handlers that work, and those that do not have no fallback: every reason.
pub(super) fn open(
    pipeline: &Arc<ChatPipeline>,
    admission: Admission,
    config: &Config,
) -> anyhow::Result<(Releases, [Option<LastOffered>; 3])> {
    let start = Start {
        pipeline,
        admission: Arc::new(admission),
        limits: config.limits.handlers().rollout,
        settings: settings_of(config),
        directory: &config.handlers,
        files: HandlerKind::ALL
            .map(|handler| read_handler(&config.handlers, handler, &config.limits.handlers().admission)),
    };
    let seen = pipeline.store.releases().directory_snapshots()?;
    let (handlers, first) = start.handlers()?;
    let Start { settings, files, .. } = start;
    let releases = Releases::new(Arc::new(handlers), Arc::clone(pipeline), settings);
    let mut last_offered = [None; 3];
    for ((handler, file), last_offered) in HandlerKind::ALL.into_iter().zip(files).zip(&mut last_offered) {
        let file = file.ok();
        let accepted = if first {
            // It has just passed the admission checks, or failed them.
            !releases.handlers.current().versions().lacks(handler)
                && releases.remember(handler, file.as_ref().map(HandlerFile::sha256))
        } else {
            releases.news(handler, &seen, file.as_ref())
        };
        *last_offered = file.map(|file| LastOffered::new(&file, accepted));
    }
    Ok((releases, last_offered))
}

/// What a config sets for each handler.
pub(super) fn settings_of(config: &Config) -> [Arc<SettingsMap>; 3] {
    let settings = [&config.settings.rooms, &config.settings.messages, &config.settings.events];
    settings.map(|map| Arc::new(map.clone()))
}

/// Watches the directory for as long as what is returned lives.
///
/// # Errors
///
/// When no thread is available.
pub(super) fn follow(
    releases: &Arc<Releases>,
    directory: &Path,
    last_offered: [Option<LastOffered>; 3],
) -> std::io::Result<Watch> {
    let limits = releases.pipeline.limits.handlers().admission;
    let releases = Arc::clone(releases);
    watch(directory, limits, last_offered, move |handler, file| match file {
        Ok(file) => releases.offer_file(handler, Some(file), None).is_ok(),
        Err(error) => {
            releases.log_rejected(handler, &error.to_string());
            false
        }
    })
}

impl Start<'_> {
    /// By the store, else by the files. Another host that starts may record a release first: then by that. True: the files alone
    /// have decided.
    fn handlers(&self) -> anyhow::Result<(Handlers, bool)> {
        let mut overtaken = 0;
        loop {
            let over = self.active()?;
            let begun = self.by_store().and_then(|handlers| match handlers {
                Some(handlers) => Ok((handlers, false)),
                None => self.by_files(over),
            });
            match begun {
                Err(error) if overtaken < OVERTAKEN_MAX && is_overtaken(&error) => overtaken += 1,
                begun => return begun,
            }
        }
    }

    /// The number of the release that is recorded as active.
    fn active(&self) -> anyhow::Result<Option<u64>> {
        Ok(self.pipeline.store.releases().active()?.map(|active| active.number))
    }

    /// The active release of the store, or the latest before it that still works.
    fn by_store(&self) -> anyhow::Result<Option<Handlers>> {
        let history = self.pipeline.store.releases();
        let Some(active) = history.active()? else { return Ok(None) };
        let blocked = release_store::blocked(self.pipeline)?;
        let broken = match self.restore(&active, false) {
            Ok((candidate, lacking)) => {
                let ledger = release_store::ledger(self.pipeline);
                let admission = Arc::clone(&self.admission);
                let handlers = Handlers::resume(admission, self.limits, &candidate, ledger, active.number, blocked)?;
                log_lacking(&lacking);
                return Ok(Some(handlers));
            }
            Err(broken) => broken,
        };
        tracing::error!(
            release = active.number,
            reason = broken,
            "release {} is broken, looking for an earlier one: {broken}",
            active.number
        );
        for release in history.list_admitted(Some(active.number), TRIED_MAX)? {
            let ran = matches!(release.outcome.as_str(), "replaced" | "rolled_back");
            let is_blocked = release.versions.iter().any(|id| blocked.keys().any(|version| version.whole() == *id));
            if !ran
                || is_blocked
                || release.versions == active.versions
                || release.versions.iter().any(|id| is_none(id))
            {
                continue;
            }
            let number = release.number;
            match self.restore(&release, false) {
                Ok((candidate, _)) => {
                    tracing::warn!(release = number, "release {number} is active again");
                    return Ok(Some(self.fall_back(&candidate, &active, &broken, Some(number))?));
                }
                Err(reason) => tracing::warn!(release = number, reason, "release {number} is broken too: {reason}"),
            }
        }
        Ok(None)
    }

    /// The release of the three files. If they make none: what still works of the release that was active; else what works of
    /// the files; with the built-in handlers for the others. True: the files alone have decided. `over`: the release that was active
    /// when the start began, and has to be still.
    fn by_files(&self, over: Option<u64>) -> anyhow::Result<(Handlers, bool)> {
        let mut candidate = Candidate::default();
        let mut lacking = Lacking::new();
        for ((handler, file), settings) in HandlerKind::ALL.into_iter().zip(&self.files).zip(&self.settings) {
            let admitted = file.as_ref().map_err(AdmissionError::unreadable).and_then(|file| {
                let HandlerFile { wasm, cases } = file.clone();
                let source = Source { handler, wasm, settings: Arc::clone(settings), cases };
                candidate.admit(&self.admission, source)
            });
            if let Err(error) = admitted {
                let path = self.directory.join(handler.file_name());
                let reasons = error.reasons.iter().map(|reason| format!("{}: {reason}", path.display()));
                lacking.push((handler, reasons.collect::<Vec<_>>().join("; ")));
            }
        }
        let active = self.active()?;
        if active != over {
            let (expected, active) = (over.unwrap_or_default(), active.unwrap_or_default());
            return Err(ActivateError::Overtaken { expected, active }.into());
        }
        if !lacking.is_empty()
            && let Some(handlers) = self.by_remains()?
        {
            return Ok((handlers, false));
        }
        let mut settings = HandlerKind::ALL.into_iter().zip(&self.settings);
        let is_complete = settings.all(|(handler, settings)| {
            let lacks = lacking.iter().any(|(lacking, _)| *lacking == handler);
            !lacks || candidate.go_without(&self.admission, handler, settings)
        });
        let reasons: Vec<&str> = lacking.iter().map(|(_, reason)| reason.as_str()).collect();
        anyhow::ensure!(is_complete, "{}", reasons.join("; "));
        let provenance = Provenance::new(
            "directory".to_owned(),
            if over.is_none() { Trigger::First } else { Trigger::Fallback },
            format!("the files in {} at startup", self.directory.display()),
        );
        let handlers = self.begin(&candidate, over, &provenance).context("recording the first release")?;
        log_lacking(&lacking);
        Ok((handlers, true))
    }

    /// What still works of the release that was active, with the built-in handlers for the others.
    fn by_remains(&self) -> anyhow::Result<Option<Handlers>> {
        let Some(active) = self.pipeline.store.releases().active()? else { return Ok(None) };
        let Ok((candidate, lacking)) = self.restore(&active, true) else { return Ok(None) };
        let reasons: Vec<&str> = lacking.iter().map(|(_, reason)| reason.as_str()).collect();
        let handlers = self.fall_back(&candidate, &active, &reasons.join("; "), None)?;
        log_lacking(&lacking);
        Ok(Some(handlers))
    }

    /// The three versions of a release, from the store, without those that it never had. With `broken_too` also without
    /// those that do not work any more and have a built-in handler.
    fn restore(&self, release: &StoredRelease, broken_too: bool) -> Result<(Candidate, Lacking), String> {
        let mut candidate = Candidate::default();
        let mut lacking = Lacking::new();
        for ((handler, id), settings) in HandlerKind::ALL.into_iter().zip(&release.versions).zip(&self.settings) {
            let restored = release_store::source(self.pipeline, handler, id).and_then(|source| {
                let restored = candidate.restore(&self.admission, source);
                restored.map_err(|error| format!("{handler}: {error}"))
            });
            let Err(reason) = restored else { continue };
            if !(broken_too || is_none(id)) || !candidate.go_without(&self.admission, handler, settings) {
                return Err(reason);
            }
            lacking.push((handler, reason));
        }
        Ok((candidate, lacking))
    }

    fn fall_back(
        &self,
        candidate: &Candidate,
        from: &StoredRelease,
        broken: &str,
        back_to: Option<u64>,
    ) -> anyhow::Result<Handlers> {
        let reason = format!("release {} is broken: {broken}", from.number);
        let provenance = Provenance { back_to, ..Provenance::new(HOST.to_owned(), Trigger::Fallback, reason) };
        self.begin(candidate, Some(from.number), &provenance)
    }

    fn begin(&self, candidate: &Candidate, over: Option<u64>, provenance: &Provenance) -> anyhow::Result<Handlers> {
        let (ledger, blocked) = (release_store::ledger(self.pipeline), release_store::blocked(self.pipeline)?);
        let admission = Arc::clone(&self.admission);
        Ok(Handlers::begin(admission, self.limits, candidate, over, provenance, ledger, blocked)?)
    }
}

/// Whether another host has recorded a release first.
fn is_overtaken(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<ActivateError>(), Some(ActivateError::Overtaken { .. }))
}

/// Whether a release has no version of a handler.
fn is_none(id: &str) -> bool {
    VersionId::read(id) == Some(VersionId::NONE)
}

/// Logs which handlers have no version.
fn log_lacking(lacking: &Lacking) {
    for (handler, reason) in lacking {
        tracing::error!(%handler, reason, "handler {handler} has no version: its built-in handler answers: {reason}");
    }
}
