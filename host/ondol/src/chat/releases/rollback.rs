//! Rollbacks: which release or version becomes active again, and where it comes from.

use super::{ChangeRequest, Changed, ReleaseError, Releases, RollbackTarget, SettingsRow};
use crate::chat::release_store;
use ondol_host_handlers::{Candidate, HandlerKind, Provenance, Trigger, VersionId};
use ondol_host_store::StoredRelease;

/// How far back a release is looked for when none is named.
const STEPS_MAX: usize = 1_000;

impl Releases {
    /// Waits for no change that is being prepared, and for no other host: a rollback has to be quick. If another host has recorded
    /// a release meanwhile, a target with a name is rolled back to nevertheless; the release before is another one by then.
    pub(in crate::chat) fn roll_back(
        &self,
        target: &RollbackTarget,
        request: &ChangeRequest,
    ) -> Result<Changed, ReleaseError> {
        let is_over_any = request.expected.is_none() && *target != RollbackTarget::Before;
        self.over_others(is_over_any, || self.try_roll_back(target, request))
    }

    fn try_roll_back(&self, target: &RollbackTarget, request: &ChangeRequest) -> Result<Changed, ReleaseError> {
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
        let before = self.handlers.numbered().versions;
        let changed = self.activate(&candidate, &provenance)?;
        let after = self.handlers.numbered().versions;
        let of = |handler| SettingsRow::of(handler, &candidate, after.settings(handler), before.settings(handler));
        let changes = HandlerKind::ALL.into_iter().filter(|handler| before.id(*handler) != after.id(*handler));
        let settings = changes.map(|handler| (handler.name(), of(handler))).collect();
        Ok(Changed { settings, ..changed })
    }

    /// Versions that are stored: from memory where they are there, else from the store.
    pub(super) fn restore(&self, versions: &[(HandlerKind, String)]) -> Result<Candidate, ReleaseError> {
        let mut candidate = Candidate::default();
        let ready = self.ready();
        for (handler, id) in versions {
            match ready.iter().find(|release| release.id(*handler).whole() == *id) {
                Some(release) => candidate.take(*handler, release),
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
    pub(in crate::chat) fn kept_version(&self, prefix: &str) -> Result<(HandlerKind, String), ReleaseError> {
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

    /// Lifts the block of the one blocked version whose id begins so, and returns its id.
    pub(in crate::chat) fn forgive(&self, prefix: &str, request: &ChangeRequest) -> Result<String, ReleaseError> {
        self.follow()?;
        let prefix = prefix.to_ascii_lowercase();
        let mut found = self.handlers.rollouts().blocked.into_keys().filter(|id| id.starts_with(&prefix));
        match (found.next(), found.count()) {
            (Some(id), 0) => {
                let version = VersionId::read(&id).ok_or_else(|| ReleaseError::Unknown(not_blocked(&prefix)))?;
                let forgiven = self.handlers.forgive(version, &request.actor, &request.reason)?;
                forgiven.then_some(id).ok_or_else(|| ReleaseError::Unknown(not_blocked(&prefix)))
            }
            (Some(_), more) => {
                let count = more + 1;
                Err(ReleaseError::Unknown(format!("{count} blocked versions begin with {prefix:?}: give more digits")))
            }
            (None, _) => Err(ReleaseError::Unknown(not_blocked(&prefix))),
        }
    }
}

fn not_blocked(prefix: &str) -> String {
    format!("no version that begins with {prefix:?} is blocked")
}
