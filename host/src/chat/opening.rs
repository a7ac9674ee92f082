//! Which release a start begins with, and the watched directory.
//!
//! What was active when the process ended is active again, whoever made it so; its bytes come from the store. Only what is
//! new in the directory or in the config's settings since they were last taken up is offered on top of it, as a deploy
//! like any other. A stored release that is broken gives way to the one before it. Only where nothing is stored, or none
//! of it works, do the three files decide, and then all three have to be good.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::releases::Releases;
use super::{Work, ledger};
use crate::config::Config;
use crate::handlers::{
    Candidate, HandlerKind, Handlers, How, Known, LoadError, Sandbox, SettingsMap, Source, Watch, Why, content, watch,
};
use crate::store::{Seen, StoredRelease};

/// How many releases are tried, the latest first, before a start gives up on the store.
const TRIED_MAX: usize = 20;

/// Whoever is recorded for what nobody asked for by name.
const HOST: &str = "host";

/// The three files, as a start finds them.
type Files = [std::io::Result<Vec<u8>>; 3];

/// Brings the handlers up. Compiles, so not for a worker.
///
/// # Errors
///
/// When neither the store nor the directory has three handlers that work: every reason.
pub(super) fn open(work: &Arc<Work>, sandbox: Sandbox, config: &Config) -> anyhow::Result<(Releases, [Known; 3])> {
    let sandbox = Arc::new(sandbox);
    let settings = [&config.settings.rooms, &config.settings.messages, &config.settings.events];
    let settings = settings.map(|map| Arc::new(map.clone()));
    let files: Files = HandlerKind::ALL.map(|handler| std::fs::read(config.handlers.join(handler.file_name())));
    let seen = work.store.seen()?;
    let (handlers, first) = match from_store(work, &sandbox)? {
        Some(handlers) => (handlers, false),
        None => (from_files(work, &sandbox, &files, &settings, &config.handlers)?, true),
    };
    let releases = Releases::new(Arc::new(handlers), Arc::clone(work), settings);
    let mut known = [None; 3];
    for ((handler, file), known) in HandlerKind::ALL.into_iter().zip(files).zip(&mut known) {
        let taken = if first {
            releases.remember(handler, file.as_deref().ok())
        } else {
            releases.news(handler, &seen, file.as_deref().ok())
        };
        *known = file.ok().map(|bytes| (content(&bytes), taken));
    }
    Ok((releases, known))
}

/// Watches the directory for as long as what is returned lives.
///
/// # Errors
///
/// When no thread can be had.
pub(super) fn follow(releases: &Arc<Releases>, directory: &Path, known: [Known; 3]) -> std::io::Result<Watch> {
    let releases = Arc::clone(releases);
    watch(directory, known, move |handler, bytes| releases.offer_file(handler, Some(bytes), None))
}

/// The active release of the store, or the latest before it that still works.
fn from_store(work: &Arc<Work>, sandbox: &Arc<Sandbox>) -> anyhow::Result<Option<Handlers>> {
    let Some(active) = work.store.active_release()? else { return Ok(None) };
    let bad = ledger::bad(work)?;
    let ledger = ledger::ledger(work);
    let broken = match revive(work, sandbox, &active) {
        Ok(candidate) => {
            return Ok(Some(Handlers::resume(Arc::clone(sandbox), ledger, &candidate, active.number, bad)?));
        }
        Err(broken) => broken,
    };
    tracing::error!(
        release = active.number,
        reason = broken,
        "the active release is broken, an earlier one is looked for"
    );
    for release in work.store.releases(Some(active.number), TRIED_MAX)? {
        let ran = matches!(release.outcome.as_str(), "replaced" | "rolled_back");
        let marked = release.versions.iter().any(|id| bad.keys().any(|version| version.whole() == *id));
        if !ran || marked || release.versions == active.versions {
            continue;
        }
        match revive(work, sandbox, &release) {
            Ok(candidate) => {
                let why = format!("release {} is broken: {broken}", active.number);
                tracing::warn!(release = release.number, "an earlier release is active again");
                let why =
                    Why { who: HOST.to_owned(), how: How::Fallback, why, back_to: Some(release.number), forced: false };
                return Ok(Some(Handlers::begin(Arc::clone(sandbox), ledger, &candidate, &why, bad)?));
            }
            Err(reason) => tracing::warn!(release = release.number, reason, "this release is broken too"),
        }
    }
    Ok(None)
}

/// The three versions of a release, from the store.
fn revive(work: &Work, sandbox: &Arc<Sandbox>, release: &StoredRelease) -> Result<Candidate, String> {
    let mut candidate = Candidate::default();
    for (handler, id) in HandlerKind::ALL.into_iter().zip(&release.versions) {
        let source = ledger::source(work, handler, id)?;
        candidate.revive(sandbox, &source).map_err(|error| format!("{handler}: {error}"))?;
    }
    Ok(candidate)
}

fn from_files(
    work: &Arc<Work>,
    sandbox: &Arc<Sandbox>,
    files: &Files,
    settings: &[Arc<SettingsMap>; 3],
    directory: &Path,
) -> anyhow::Result<Handlers> {
    let mut candidate = Candidate::default();
    let mut reasons = Vec::new();
    for ((handler, file), settings) in HandlerKind::ALL.into_iter().zip(files).zip(settings) {
        let proved = file.as_ref().map_err(LoadError::unread).and_then(|wasm| {
            let source = Source { handler, wasm: wasm.clone(), settings: Arc::clone(settings), cases: None };
            candidate.prove(sandbox, source)
        });
        if let Err(error) = proved {
            let path = directory.join(handler.file_name());
            reasons.extend(error.reasons.iter().map(|reason| format!("{}: {reason}", path.display())));
        }
    }
    anyhow::ensure!(reasons.is_empty(), "{}", reasons.join("; "));
    let how = if work.store.active_release()?.is_some() { How::Fallback } else { How::First };
    let why = format!("what {} held at the start", directory.display());
    let why = Why { who: "directory".to_owned(), how, why, back_to: None, forced: false };
    Handlers::begin(Arc::clone(sandbox), ledger::ledger(work), &candidate, &why, ledger::bad(work)?)
        .context("recording the first release")
}

impl Releases {
    /// Takes up what is new of one handler since its file and its settings were last taken up. False: it was not taken.
    fn news(&self, handler: HandlerKind, seen: &[Seen], file: Option<&[u8]>) -> bool {
        let before = seen.iter().find(|seen| seen.handler == handler.name());
        let config = ledger::settings_json(self.config_of(handler));
        let new_file = file.filter(|bytes| before.is_none_or(|seen| seen.sha256 != ledger::sha256(bytes)));
        let new_settings = before.is_none_or(|seen| seen.settings != config);
        if new_file.is_none() && !new_settings {
            return true;
        }
        let settings = new_settings.then(|| Arc::clone(self.config_of(handler)));
        self.offer_file(handler, new_file.map(<[u8]>::to_vec), settings)
    }
}
