//! Releases and versions in the store: a release is on the disk before it is active, and a version comes back as it was
//! deployed. Translates between the types of the handlers and of the store, which do not know each other.

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::room_queue::ChatPipeline;
use crate::config::Limits;
use ondol_host_handlers::{
    Activation, HandlerKind, Ledger, Provenance, SettingsMap, Source, Trigger, Unrecorded, VersionId,
};
use ondol_host_model::Timestamp;
use ondol_host_store::{
    AboutVersion, DirectorySnapshot, ReleaseRecord, Retention, StoreError, StoredEvent, StoredVersion,
};

/// How much of the history is kept.
pub(super) fn retention(limits: &Limits) -> Retention {
    Retention { versions_max: limits.versions_kept_max, releases_max: limits.releases_kept_max }
}

/// A ledger that is the store.
pub(super) fn ledger(pipeline: &Arc<ChatPipeline>) -> Ledger {
    let [recording, blocking, noting] = [(); 3].map(|()| Arc::clone(pipeline));
    Ledger {
        record: Box::new(move |activation| record(&recording, activation).map_err(unrecorded)),
        block: Box::new(move |version, evidence| {
            let blocked = blocking.store.releases().set_blocked(version.whole(), evidence.map(str::to_owned));
            blocked.map_err(|error| error.to_string())
        }),
        note: Box::new(move |event| {
            let event = StoredEvent {
                release: event.release,
                what: event.what.name().to_owned(),
                actor: event.actor.clone(),
                detail: event.detail.clone(),
                created_at: Timestamp(0),
            };
            noting.store.releases().record_event(event).map_err(|error| error.to_string())
        }),
    }
}

fn record(pipeline: &ChatPipeline, activation: &Activation<'_>) -> Result<u64, StoreError> {
    let fresh: Vec<StoredVersion> = activation.fresh.iter().map(stored_version).collect();
    let release = new_release(activation.versions, activation.over, activation.provenance);
    pipeline.store.releases().record(&fresh, release, retention(&pipeline.limits))
}

fn unrecorded(error: StoreError) -> Unrecorded {
    match error {
        StoreError::Overtaken { active } => Unrecorded::Overtaken(active),
        other => Unrecorded::Failed(other.to_string()),
    }
}

/// Keeps versions whole.
pub(super) fn keep(pipeline: &ChatPipeline, sources: &[Source]) -> Result<(), StoreError> {
    sources.iter().try_for_each(|source| pipeline.store.releases().save_version(&stored_version(source)))
}

/// A release as it is recorded, over the active one.
pub(super) fn new_release(versions: [VersionId; 3], over: Option<u64>, provenance: &Provenance) -> ReleaseRecord {
    let Provenance { actor, trigger, reason, back_to, .. } = provenance;
    let (left, left_detail) = match trigger {
        Trigger::First | Trigger::Directory | Trigger::Deploy => ("replaced", None),
        Trigger::Rollback | Trigger::Probation => {
            ("rolled_back", Some(reason.clone()).filter(|reason| !reason.is_empty()))
        }
        Trigger::Fallback => ("broken", Some(format!("it did not start again: {reason}"))),
    };
    ReleaseRecord {
        versions: versions.map(|version| version.whole()),
        actor: actor.clone(),
        trigger: trigger.name().to_owned(),
        reason: reason.clone(),
        back_to: *back_to,
        over,
        previous_outcome: left.to_owned(),
        previous_detail: left_detail,
    }
}

fn stored_version(source: &Source) -> StoredVersion {
    let about = AboutVersion {
        id: source.version().whole(),
        handler: source.handler.name().to_owned(),
        component: sha256(&source.wasm),
        settings: settings_json(&source.settings),
        cases: source.cases.clone(),
        bytes: source.wasm.len() as u64,
        first_seen: Timestamp(0),
        last_active: Timestamp(0),
    };
    StoredVersion { about, wasm: source.wasm.clone() }
}

/// A kept version as it was deployed, or why it is not that any more.
pub(super) fn source(pipeline: &ChatPipeline, handler: HandlerKind, id: &str) -> Result<Source, String> {
    let stored = pipeline.store.releases().version(id).map_err(|error| error.to_string())?;
    as_deployed(stored, handler, id)
}

/// What the store has under a version's id as it was deployed.
///
/// # Errors
///
/// A sentence that says why it is not that any more.
pub fn as_deployed(stored: Option<StoredVersion>, handler: HandlerKind, id: &str) -> Result<Source, String> {
    if id == VersionId::NONE.whole() {
        return Err(format!("there is no version of {handler}: none has passed the admission checks yet"));
    }
    let short = id.get(..12).unwrap_or(id);
    let StoredVersion { about, wasm } = stored.ok_or_else(|| format!("version {short} of {handler} is not kept"))?;
    let broken = |why: &str| format!("version {short} of {handler} is broken in the store: {why}");
    let settings = serde_json::from_str(&about.settings).map_err(|_| broken("its settings cannot be read"))?;
    let source = Source { handler, wasm, settings: Arc::new(settings), cases: about.cases };
    if about.handler != handler.name() || source.version().whole() != id {
        return Err(broken("its bytes are not those that it is named for"));
    }
    Ok(source)
}

/// The blocked versions, with the evidence.
pub(super) fn blocked(pipeline: &ChatPipeline) -> Result<HashMap<VersionId, String>, StoreError> {
    let blocked = pipeline.store.releases().blocked_versions()?;
    Ok(blocked.into_iter().filter_map(|(id, evidence)| Some((VersionId::read(&id)?, evidence))).collect())
}

/// What the directory and the config say of a handler.
pub(super) fn directory_snapshot(handler: HandlerKind, file: &str, settings: &SettingsMap) -> DirectorySnapshot {
    DirectorySnapshot { handler: handler.name().to_owned(), sha256: file.to_owned(), settings: settings_json(settings) }
}

/// 64 hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// An object of texts. Its keys are in order, so that what is equal reads equal.
pub(super) fn settings_json(settings: &SettingsMap) -> String {
    serde_json::to_string(settings).unwrap_or_else(|_| "{}".to_owned())
}
