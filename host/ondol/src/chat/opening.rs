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
    Candidate, Found, HandlerKind, Handlers, How, Known, LoadError, Sandbox, SettingsMap, Source, VersionId, Watch,
    Why, content, read_handler, watch,
};
use ondol_host_store::StoredRelease;

/// How many releases are tried, the latest first, before a start gives up on the store.
const TRIED_MAX: usize = 20;

/// The actor recorded for what the host does on its own.
const HOST: &str = "host";

/// The three files, as a start finds them.
type Files = [Found; 3];

/// The handlers that a start finds no version of, each with the reason.
type Lacking = Vec<(HandlerKind, String)>;

/// What a start has to go by.
struct Start<'a> {
    pipeline: &'a Arc<ChatPipeline>,
    sandbox: Arc<Sandbox>,
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
    sandbox: Sandbox,
    config: &Config,
) -> anyhow::Result<(Releases, [Known; 3])> {
    let settings = [&config.settings.rooms, &config.settings.messages, &config.settings.events];
    let start = Start {
        pipeline,
        sandbox: Arc::new(sandbox),
        settings: settings.map(|map| Arc::new(map.clone())),
        directory: &config.handlers,
        files: HandlerKind::ALL
            .map(|handler| read_handler(&config.handlers, handler, config.limits.handler_file_bytes_max)),
    };
    let seen = pipeline.store.releases().directory_snapshots()?;
    let (handlers, first) = match start.by_store()? {
        Some(handlers) => (handlers, false),
        None => start.by_files()?,
    };
    let Start { settings, files, .. } = start;
    let releases = Releases::new(Arc::new(handlers), Arc::clone(pipeline), settings);
    let mut known = [None; 3];
    for ((handler, file), known) in HandlerKind::ALL.into_iter().zip(files).zip(&mut known) {
        let file = file.ok();
        let taken = if first {
            // It has just passed the admission checks, or failed them.
            !releases.handlers.current().lacks(handler) && releases.remember(handler, file.as_deref())
        } else {
            releases.news(handler, &seen, file.as_deref())
        };
        *known = file.map(|bytes| (content(&bytes), taken));
    }
    Ok((releases, known))
}

/// Watches the directory for as long as what is returned lives.
///
/// # Errors
///
/// When no thread can be had.
pub(super) fn follow(releases: &Arc<Releases>, directory: &Path, known: [Known; 3]) -> std::io::Result<Watch> {
    let bytes_max = releases.pipeline.limits.handler_file_bytes_max;
    let releases = Arc::clone(releases);
    watch(directory, bytes_max, known, move |handler, found| match found {
        Ok(bytes) => releases.offer_file(handler, Some(bytes), None),
        Err(error) => {
            releases.log_rejected(handler, &error.to_string());
            false
        }
    })
}

impl Start<'_> {
    /// The active release of the store, or the latest before it that still works.
    fn by_store(&self) -> anyhow::Result<Option<Handlers>> {
        let history = self.pipeline.store.releases();
        let Some(active) = history.active()? else { return Ok(None) };
        let bad = release_store::bad(self.pipeline)?;
        let broken = match self.revive(&active, false) {
            Ok((candidate, lacking)) => {
                let ledger = release_store::ledger(self.pipeline);
                let handlers = Handlers::resume(Arc::clone(&self.sandbox), ledger, &candidate, active.number, bad)?;
                tell(&lacking);
                return Ok(Some(handlers));
            }
            Err(broken) => broken,
        };
        tracing::error!(
            release = active.number,
            reason = broken,
            "the active release is broken, an earlier one is looked for"
        );
        for release in history.list_admitted(Some(active.number), TRIED_MAX)? {
            let ran = matches!(release.outcome.as_str(), "replaced" | "rolled_back");
            let marked = release.versions.iter().any(|id| bad.keys().any(|version| version.whole() == *id));
            if !ran || marked || release.versions == active.versions || release.versions.iter().any(|id| is_none(id)) {
                continue;
            }
            match self.revive(&release, false) {
                Ok((candidate, _)) => {
                    tracing::warn!(release = release.number, "an earlier release is active again");
                    return Ok(Some(self.fall_back(&candidate, &active, &broken, Some(release.number))?));
                }
                Err(reason) => tracing::warn!(release = release.number, reason, "this release is broken too"),
            }
        }
        Ok(None)
    }

    /// What the three files hold. Where that is no release: what still works of the one that was active; else what works of
    /// the files; in both with somebody to stand in for the rest. True: the files alone have decided.
    fn by_files(&self) -> anyhow::Result<(Handlers, bool)> {
        let mut candidate = Candidate::default();
        let mut lacking = Lacking::new();
        for ((handler, file), settings) in HandlerKind::ALL.into_iter().zip(&self.files).zip(&self.settings) {
            let proved = file.as_ref().map_err(LoadError::unread).and_then(|wasm| {
                let source = Source { handler, wasm: wasm.clone(), settings: Arc::clone(settings), cases: None };
                candidate.prove(&self.sandbox, source)
            });
            if let Err(error) = proved {
                let path = self.directory.join(handler.file_name());
                let told = error.reasons.iter().map(|reason| format!("{}: {reason}", path.display()));
                lacking.push((handler, told.collect::<Vec<_>>().join("; ")));
            }
        }
        if !lacking.is_empty()
            && let Some(handlers) = self.remains()?
        {
            return Ok((handlers, false));
        }
        let mut settings = HandlerKind::ALL.into_iter().zip(&self.settings);
        let stood_in = settings.all(|(handler, settings)| {
            let lacks = lacking.iter().any(|(lacking, _)| *lacking == handler);
            !lacks || candidate.go_without(&self.sandbox, handler, settings)
        });
        let reasons: Vec<&str> = lacking.iter().map(|(_, reason)| reason.as_str()).collect();
        anyhow::ensure!(stood_in, "{}", reasons.join("; "));
        let how = if self.pipeline.store.releases().active()?.is_some() { How::Fallback } else { How::First };
        let why = format!("what {} held at the start", self.directory.display());
        let why = Why { who: "directory".to_owned(), how, why, back_to: None, forced: false };
        let handlers = self.begin(&candidate, &why).context("recording the first release")?;
        tell(&lacking);
        Ok((handlers, true))
    }

    /// What still works of the release that was active, where somebody stands in for the rest.
    fn remains(&self) -> anyhow::Result<Option<Handlers>> {
        let Some(active) = self.pipeline.store.releases().active()? else { return Ok(None) };
        let Ok((candidate, lacking)) = self.revive(&active, true) else { return Ok(None) };
        let told: Vec<&str> = lacking.iter().map(|(_, reason)| reason.as_str()).collect();
        let handlers = self.fall_back(&candidate, &active, &told.join("; "), None)?;
        tell(&lacking);
        Ok(Some(handlers))
    }

    /// The three versions of a release, from the store, without those that it never had. With `broken_too` also without
    /// those that do not work any more, where somebody stands in for them.
    fn revive(&self, release: &StoredRelease, broken_too: bool) -> Result<(Candidate, Lacking), String> {
        let mut candidate = Candidate::default();
        let mut lacking = Lacking::new();
        for ((handler, id), settings) in HandlerKind::ALL.into_iter().zip(&release.versions).zip(&self.settings) {
            let revived = release_store::source(self.pipeline, handler, id).and_then(|source| {
                let revived = candidate.revive(&self.sandbox, &source);
                revived.map_err(|error| format!("{handler}: {error}"))
            });
            let Err(reason) = revived else { continue };
            if !(broken_too || is_none(id)) || !candidate.go_without(&self.sandbox, handler, settings) {
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
        let why = format!("release {} is broken: {broken}", from.number);
        self.begin(candidate, &Why { who: HOST.to_owned(), how: How::Fallback, why, back_to, forced: false })
    }

    fn begin(&self, candidate: &Candidate, why: &Why) -> anyhow::Result<Handlers> {
        let (ledger, bad) = (release_store::ledger(self.pipeline), release_store::bad(self.pipeline)?);
        Ok(Handlers::begin(Arc::clone(&self.sandbox), ledger, candidate, why, bad)?)
    }
}

/// Whether a release has no version of a handler.
fn is_none(id: &str) -> bool {
    VersionId::read(id) == Some(VersionId::NONE)
}

/// Logs which handlers have no version.
fn tell(lacking: &Lacking) {
    for (handler, reason) in lacking {
        tracing::error!(%handler, reason, "handler {handler} has no version: its built-in handler answers: {reason}");
    }
}
