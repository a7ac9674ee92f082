//! Reports for an operator: the active versions, those that are kept, the history, and how two versions differ.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::readiness::Readiness;
use super::release_store;
use super::releases::{ReleaseError, Releases};
use ondol_host_handlers::{FaultsRow, HandlerKind, Item, Report, Rollouts, SettingsMap, VersionId, inspect};
use ondol_host_store::{AboutVersion, StoredEvent, StoredRelease};

/// What runs.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The server's version.
    pub ondol: &'static str,
    /// How long it has been up, in milliseconds.
    pub uptime_ms: u64,
    /// Whether all three handlers answer.
    pub ready: bool,
    /// Why not.
    pub fault: Option<String>,
    /// The active release.
    pub release: Option<ReleaseRow>,
    /// Each handler.
    pub handlers: BTreeMap<&'static str, HandlerRow>,
    /// How many times clients' requests have read the database since the start.
    pub database_reads: u64,
    /// The rollouts, and the blocked versions.
    #[serde(flatten)]
    pub rollouts: Rollouts,
}

/// A handler that answers, as an operator sees it.
#[derive(Debug, Serialize)]
pub struct HandlerRow {
    /// Its active version. None: it has none.
    #[serde(flatten)]
    pub version: Option<VersionRow>,
    /// Whether it has none, and the built-in handler answers in its place.
    pub built_in: bool,
    /// What it failed at since the start.
    pub faults: FaultsRow,
}

/// A version, as an operator sees it.
#[derive(Debug, Serialize)]
pub struct VersionRow {
    /// Its 64 digits.
    pub version: String,
    /// The SHA-256 of its component.
    pub component: String,
    /// How long that is.
    pub bytes: u64,
    /// What is set for it.
    pub settings: SettingsMap,
    /// Whether cases came with it.
    pub has_cases: bool,
    /// When it was first deployed.
    pub first_seen: String,
    /// When it last became active.
    pub last_active: String,
    /// Whether it is.
    pub active: bool,
    /// Why it is blocked.
    pub bad: Option<String>,
}

/// A release, as an operator sees it.
#[derive(Debug, Serialize)]
pub struct ReleaseRow {
    /// Its number.
    pub release: u64,
    /// When.
    pub at: String,
    /// Who.
    pub who: String,
    /// In which way.
    pub how: String,
    /// Why it was wanted.
    pub why: String,
    /// The release that it went back to.
    pub back_to: Option<u64>,
    /// What became of it.
    pub outcome: String,
    /// What led to that: why it was left, or never came to be.
    pub detail: Option<String>,
    /// The version of each handler in it.
    pub versions: BTreeMap<&'static str, String>,
    /// What befell it while it was active.
    pub events: Vec<EventRow>,
}

/// What befell a release, as an operator sees it.
#[derive(Debug, Serialize)]
pub struct EventRow {
    /// When.
    pub at: String,
    /// What: `canary_started`, `warning` …
    pub what: String,
    /// Who did it.
    pub who: String,
    /// Which versions it concerns, and why.
    pub detail: String,
}

/// How two versions differ.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// The one.
    pub from: VersionRow,
    /// The other.
    pub to: VersionRow,
    /// Whether the components are other bytes.
    pub component_differs: bool,
    /// Functions exported, by interface and type.
    pub exports: Lines,
    /// Functions imported.
    pub imports: Lines,
    /// Settings that differ: before and after.
    pub settings: BTreeMap<String, [Option<String>; 2]>,
}

/// Lines that only one of two has.
#[derive(Debug, Serialize)]
pub struct Lines {
    /// Only the first.
    pub removed: Vec<String>,
    /// Only the second.
    pub added: Vec<String>,
}

/// What runs.
pub(super) fn status(releases: &Releases, readiness: &Readiness) -> Result<Status, ReleaseError> {
    let release = releases.pipeline.store.releases().active()?;
    let release = release_rows(releases, release.into_iter().collect())?.pop();
    let mut handlers = BTreeMap::new();
    for handler in HandlerKind::ALL {
        let active = releases.handlers.current();
        let id = active.versions().id(handler).whole();
        let about = releases.pipeline.store.releases().versions(&id)?.into_iter().next();
        let row = HandlerRow {
            version: about.map(|about| version_row(releases, about)),
            built_in: active.versions().lacks(handler),
            faults: releases.handlers.faults(handler),
        };
        handlers.insert(handler.name(), row);
    }
    let uptime_ms = u64::try_from(readiness.uptime().as_millis()).unwrap_or(u64::MAX);
    let (ready, fault) = match readiness.check() {
        Ok(()) => (true, None),
        Err(not_ready) => (false, Some(not_ready.to_string())),
    };
    Ok(Status {
        ondol: env!("CARGO_PKG_VERSION"),
        uptime_ms,
        ready,
        fault,
        release,
        handlers,
        database_reads: releases.pipeline.store.reads(),
        rollouts: releases.handlers.rollouts(),
    })
}

/// The kept versions of each handler, the last active first.
pub(super) fn versions(releases: &Releases) -> Result<BTreeMap<&'static str, Vec<VersionRow>>, ReleaseError> {
    let mut versions: BTreeMap<_, Vec<_>> = HandlerKind::ALL.map(|handler| (handler.name(), Vec::new())).into();
    for about in releases.pipeline.store.releases().versions("")? {
        if let Some(rows) = versions.get_mut(about.handler.as_str()) {
            rows.push(version_row(releases, about));
        }
    }
    Ok(versions)
}

/// Releases with numbers below `before`, the latest first.
pub(super) fn history(releases: &Releases, before: Option<u64>, limit: usize) -> Result<Vec<ReleaseRow>, ReleaseError> {
    release_rows(releases, releases.pipeline.store.releases().list(before, limit)?)
}

/// With how many digits of a version another one is compared: so few that a person types them, and so many that they name one.
const DIGITS_MIN: usize = 4;

/// How two kept versions differ. `from` is the active one when none is named.
pub(super) fn diff(releases: &Releases, from: Option<&str>, to: &str) -> Result<Diff, ReleaseError> {
    if to.chars().count() < DIGITS_MIN {
        return Err(ReleaseError::Unknown(format!("to: give at least {DIGITS_MIN} digits of a version")));
    }
    let (handler, to) = releases.kept_version(to)?;
    let from = match from {
        Some(from) => releases.kept_version(from)?,
        None => (handler, releases.handlers.current().versions().id(handler).whole()),
    };
    if from.0 != handler {
        return Err(ReleaseError::Unknown(format!("the one is of {}, the other of {handler}", from.0)));
    }
    let ((from, one), (to, other)) = (described(releases, handler, &from.1)?, described(releases, handler, &to)?);
    let keys: BTreeSet<String> = from.settings.keys().chain(to.settings.keys()).cloned().collect();
    let settings = keys.into_iter().filter_map(|key| {
        let both = [from.settings.get(&key).cloned(), to.settings.get(&key).cloned()];
        let [before, after] = &both;
        (before != after).then_some((key, both))
    });
    Ok(Diff {
        component_differs: from.component != to.component,
        exports: lines(&one.exports, &other.exports),
        imports: lines(&one.imports, &other.imports),
        settings: settings.collect(),
        from,
        to,
    })
}

fn described(releases: &Releases, handler: HandlerKind, id: &str) -> Result<(VersionRow, Report), ReleaseError> {
    let source = release_store::source(&releases.pipeline, handler, id).map_err(ReleaseError::Broken)?;
    let report = inspect(releases.handlers.admission().sandbox(), &source.wasm);
    let report = report.map_err(|error| ReleaseError::Refused(vec![(handler, error)]))?;
    let about = releases.pipeline.store.releases().versions(id)?.into_iter().next();
    let about = about.ok_or_else(|| ReleaseError::Unknown(format!("version {id} is not kept any more")))?;
    Ok((version_row(releases, about), report))
}

fn version_row(releases: &Releases, about: AboutVersion) -> VersionRow {
    let id = VersionId::read(&about.id);
    VersionRow {
        active: id.is_some_and(|id| releases.handlers.current().versions().ids().contains(&id)),
        bad: id.and_then(|id| releases.handlers.evidence(id)),
        version: about.id,
        component: about.component,
        bytes: about.bytes,
        settings: serde_json::from_str(&about.settings).unwrap_or_default(),
        has_cases: about.cases.is_some(),
        first_seen: about.first_seen.to_string(),
        last_active: about.last_active.to_string(),
    }
}

/// Releases, the latest first, with what befell each.
fn release_rows(releases: &Releases, rows: Vec<StoredRelease>) -> Result<Vec<ReleaseRow>, ReleaseError> {
    let (Some(latest), Some(earliest)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
    let events = releases.pipeline.store.releases().events(earliest.number, latest.number)?;
    Ok(rows.into_iter().map(|release| release_row(release, &events)).collect())
}

fn release_row(release: StoredRelease, events: &[StoredEvent]) -> ReleaseRow {
    let events = events.iter().filter(|event| event.release == release.number).map(|event| EventRow {
        at: event.created_at.to_string(),
        what: event.what.clone(),
        who: event.actor.clone(),
        detail: event.detail.clone(),
    });
    ReleaseRow {
        events: events.collect(),
        release: release.number,
        at: release.created_at.to_string(),
        who: release.actor,
        how: release.trigger,
        why: release.reason,
        back_to: release.back_to,
        outcome: release.outcome,
        detail: release.detail,
        versions: HandlerKind::ALL.map(HandlerKind::name).into_iter().zip(release.versions).collect(),
    }
}

fn lines(one: &[Item], other: &[Item]) -> Lines {
    let lines = |items: &[Item]| -> BTreeSet<String> {
        let each = |item: &Item| -> Vec<String> {
            if item.functions.is_empty() {
                return vec![item.name.clone()];
            }
            item.functions.iter().map(|function| format!("{} {function}", item.name)).collect()
        };
        items.iter().flat_map(each).collect()
    };
    let (one, other) = (lines(one), lines(other));
    Lines { removed: one.difference(&other).cloned().collect(), added: other.difference(&one).cloned().collect() }
}
