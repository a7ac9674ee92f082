//! The operator's view: status, history, deploys, rollbacks, canary and shadow. Everything here compiles or waits for the disk,
//! on threads for blocking work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::readiness::Readiness;
use super::releases::{
    Admitted, ChangeRequest, Changed, HandlerChange, ReleaseError, Releases, RollbackTarget, SettingsRows,
};
use super::report::{self, Diff, ReleaseRow, Status, VersionRow};
use ondol_host_handlers::{CanaryRow, CanaryStarted, HandlerKind, HandlerLog, Recorded, ShadowRow};
use ondol_host_store::StoreError;

const ACTIVE_ALREADY: &str = "these versions are active already";
const ONE_RECORDING: &str = "calls are being recorded already; wait for the other recording to end";
const NO_CANARY: &str = "there is no canary";
const NO_SHADOW: &str = "there is no shadow";

/// A canary that has begun.
#[derive(Debug, Serialize)]
pub struct StartedCanary {
    /// The canary.
    #[serde(flatten)]
    pub canary: CanaryRow,
    /// The one that it replaced.
    pub ended_canary: Option<CanaryRow>,
    /// The settings of its handlers.
    pub settings: SettingsRows,
}

/// A shadow that has begun.
#[derive(Debug, Serialize)]
pub struct StartedShadow {
    /// The shadow.
    #[serde(flatten)]
    pub shadow: ShadowRow,
    /// The one that it replaced, with its results.
    pub ended_shadow: Option<ShadowRow>,
    /// The settings of its handlers.
    pub settings: SettingsRows,
}

/// What an operator can ask of a chat and change in it.
pub struct Operator {
    releases: Arc<Releases>,
    readiness: Arc<Readiness>,
}

impl Operator {
    pub(super) fn new(releases: Arc<Releases>, readiness: Arc<Readiness>) -> Self {
        Self { releases, readiness }
    }

    /// What runs.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn status(&self) -> Result<Status, ReleaseError> {
        let readiness = Arc::clone(&self.readiness);
        self.blocking(move |releases| report::status(releases, &readiness)).await
    }

    /// The kept versions of each handler, the last active first.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn versions(&self) -> Result<BTreeMap<&'static str, Vec<VersionRow>>, ReleaseError> {
        self.blocking(report::versions).await
    }

    /// Releases with numbers below `before`, the latest first.
    ///
    /// # Errors
    ///
    /// The store's.
    pub async fn history(&self, before: Option<u64>, limit: usize) -> Result<Vec<ReleaseRow>, ReleaseError> {
        self.blocking(move |releases| report::history(releases, before, limit)).await
    }

    /// How two kept versions differ, each named by the beginning of its id. `from` is the active one when none is named.
    ///
    /// # Errors
    ///
    /// When one is not kept any more, or they are not of one handler.
    pub async fn diff(&self, from: Option<String>, to: String) -> Result<Diff, ReleaseError> {
        self.blocking(move |releases| report::diff(releases, from.as_deref(), &to)).await
    }

    /// Deploys one, two or three handlers together: all of them, or none.
    ///
    /// # Errors
    ///
    /// Every admission check that failed, or why the release is not recorded. The active release is unchanged.
    pub async fn deploy(&self, changes: Vec<HandlerChange>, request: ChangeRequest) -> Result<Changed, ReleaseError> {
        self.blocking(move |releases| releases.deploy(&changes, &request)).await
    }

    /// Rolls back.
    ///
    /// # Errors
    ///
    /// When there is no such release, or it does not work any more. The active release is unchanged.
    pub async fn roll_back(&self, target: RollbackTarget, request: ChangeRequest) -> Result<Changed, ReleaseError> {
        self.blocking(move |releases| releases.roll_back(&target, &request)).await
    }

    /// Lifts the block of the version whose id begins so, and returns its id.
    ///
    /// # Errors
    ///
    /// When no such version is blocked, or that could not be recorded.
    pub async fn forgive(&self, prefix: String, request: ChangeRequest) -> Result<String, ReleaseError> {
        self.blocking(move |releases| releases.forgive(&prefix, &request)).await
    }

    /// What handlers print, and their faults.
    #[must_use]
    pub fn log(&self) -> &HandlerLog {
        self.releases.handlers.log()
    }

    /// Records live calls of a handler as cases, until there are so many or the time is over.
    ///
    /// # Errors
    ///
    /// When there is a recording already.
    pub async fn record(&self, handler: HandlerKind, calls: usize, wait: Duration) -> Result<Recorded, ReleaseError> {
        // What users send goes to the caller, so the log says that it does.
        tracing::info!(%handler, calls, "up to {calls} calls of {handler} are recorded for the admin API");
        let recording = self.releases.handlers.record(handler, calls, wait).await;
        let recording = recording.ok_or(ReleaseError::Conflict(ONE_RECORDING))?;
        self.blocking(move |_| Ok(recording.cases())).await
    }

    /// Runs what would block a worker.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Releases) -> Result<R, ReleaseError> + Send + 'static,
    ) -> Result<R, ReleaseError> {
        let releases = Arc::clone(&self.releases);
        let done = tokio::task::spawn_blocking(move || work(&releases)).await;
        done.unwrap_or(Err(ReleaseError::Store(StoreError::Closed)))
    }

    /// Deploys handlers together as a canary to `percent` % of the rooms.
    ///
    /// # Errors
    ///
    /// Every admission check that failed, or that nothing would change.
    pub async fn start_canary(
        &self,
        changes: Vec<HandlerChange>,
        percent: u8,
        request: ChangeRequest,
    ) -> Result<StartedCanary, ReleaseError> {
        self.blocking(move |releases| {
            let started = releases.start_canary(&changes, percent, &request)?;
            let (CanaryStarted { canary, ended_canary }, settings) =
                started.ok_or(ReleaseError::Conflict(ACTIVE_ALREADY))?;
            Ok(StartedCanary { canary, ended_canary, settings })
        })
        .await
    }

    /// The canary, if one answers.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn canary(&self) -> Result<CanaryRow, ReleaseError> {
        self.releases.handlers.rollouts().canary.ok_or_else(|| ReleaseError::Unknown(NO_CANARY.to_owned()))
    }

    /// Makes the canary active in all rooms.
    ///
    /// # Errors
    ///
    /// When there is none, or it could not be recorded.
    pub async fn promote_canary(&self, request: ChangeRequest) -> Result<Changed, ReleaseError> {
        self.blocking(move |releases| {
            let promoted = releases.promote_canary(&request)?;
            promoted.ok_or_else(|| ReleaseError::Unknown(NO_CANARY.to_owned()))
        })
        .await
    }

    /// Ends the canary, and returns its figures. The active release answers in its rooms again.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn drop_canary(&self, request: ChangeRequest) -> Result<CanaryRow, ReleaseError> {
        self.blocking(move |releases| {
            let dropped = releases.handlers.drop_canary(&request.actor, &request.reason);
            dropped.ok_or_else(|| ReleaseError::Unknown(NO_CANARY.to_owned()))
        })
        .await
    }

    /// Starts a shadow: handlers that get copies of the active release's calls.
    ///
    /// # Errors
    ///
    /// Every admission check that failed, or that nothing would differ.
    pub async fn start_shadow(
        &self,
        changes: Vec<HandlerChange>,
        request: ChangeRequest,
    ) -> Result<StartedShadow, ReleaseError> {
        self.blocking(move |releases| {
            let Admitted { candidate, settings, .. } = releases.admit(&changes, &releases.provenance(&request))?;
            let started = releases.handlers.start_shadow(&candidate, &request.actor, &request.reason);
            let started = started.map_err(|error| ReleaseError::Broken(format!("no thread for a shadow: {error}")))?;
            let (shadow, ended_shadow) = started.ok_or(ReleaseError::Conflict(ACTIVE_ALREADY))?;
            Ok(StartedShadow { shadow, ended_shadow, settings })
        })
        .await
    }

    /// The shadow's figures so far.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn shadow(&self) -> Result<ShadowRow, ReleaseError> {
        self.releases.handlers.rollouts().shadow.ok_or_else(|| ReleaseError::Unknown(NO_SHADOW.to_owned()))
    }

    /// Ends the shadow, and returns its figures.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn stop_shadow(&self, request: ChangeRequest) -> Result<ShadowRow, ReleaseError> {
        self.blocking(move |releases| {
            let row = releases.handlers.stop_shadow(&request.actor, &request.reason);
            row.ok_or_else(|| ReleaseError::Unknown(NO_SHADOW.to_owned()))
        })
        .await
    }
}
