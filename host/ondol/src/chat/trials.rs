//! What an operator tries before it counts for all: a canary in some rooms, a shadow that nobody hears. Both go through
//! the gate; neither is kept over a restart, as only the active release is.

use super::Chat;
use super::releases::{Changed, Order, Part, ReleaseError, Releases};
use ondol_host_handlers::{CanaryRow, How, ShadowRow, Standing, Why};

const ACTIVE_ALREADY: &str = "these versions are active already";
const NO_CANARY: &str = "no canary answers anywhere";
const NO_SHADOW: &str = "no shadow runs";

impl Chat {
    /// Puts handlers into `percent` of a hundred rooms, all of them together.
    ///
    /// # Errors
    ///
    /// Every reason of the gate, or that nothing would change. What stood stands.
    pub async fn start_canary(
        &self,
        parts: Vec<Part>,
        percent: u8,
        order: Order,
    ) -> Result<Option<CanaryRow>, ReleaseError> {
        self.beside(move |releases| {
            let why = releases.why(&order);
            let candidate = releases.prove(&parts, &why)?;
            if !releases.handlers.start_canary(candidate, percent, why)? {
                return Err(ReleaseError::Conflict(ACTIVE_ALREADY));
            }
            Ok(releases.handlers.trials().canary)
        })
        .await
    }

    /// The canary, if one answers.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn canary(&self) -> Result<CanaryRow, ReleaseError> {
        self.handlers.trials().canary.ok_or_else(|| ReleaseError::Unknown(NO_CANARY.to_owned()))
    }

    /// Makes the canary active in all rooms.
    ///
    /// # Errors
    ///
    /// When there is none, or it could not be recorded.
    pub async fn promote_canary(&self, order: Order) -> Result<Changed, ReleaseError> {
        self.beside(move |releases| {
            let promoted = releases.handlers.promote_canary(&order.who, &order.why)?;
            let Standing { number, release } = promoted.ok_or_else(|| ReleaseError::Unknown(NO_CANARY.to_owned()))?;
            Ok(Changed { number, changed: true, versions: release.versions() })
        })
        .await
    }

    /// Ends the canary. Its rooms are answered as all others.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn drop_canary(&self, order: Order) -> Result<(), ReleaseError> {
        self.beside(move |releases| {
            let dropped = releases.handlers.drop_canary(&order.who, &order.why);
            dropped.then_some(()).ok_or_else(|| ReleaseError::Unknown(NO_CANARY.to_owned()))
        })
        .await
    }

    /// Gives handlers copies of what the active release is asked.
    ///
    /// # Errors
    ///
    /// Every reason of the gate, or that nothing would differ.
    pub async fn start_shadow(&self, parts: Vec<Part>, order: Order) -> Result<Option<ShadowRow>, ReleaseError> {
        self.beside(move |releases| {
            let candidate = releases.prove(&parts, &releases.why(&order))?;
            let started = releases.handlers.start_shadow(&candidate);
            if !started.map_err(|error| ReleaseError::Broken(format!("no thread for a shadow: {error}")))? {
                return Err(ReleaseError::Conflict(ACTIVE_ALREADY));
            }
            let (who, why) = (&order.who, &order.why);
            tracing::info!(who, why, "a shadow answers copies of live calls");
            Ok(releases.handlers.trials().shadow)
        })
        .await
    }

    /// How the shadow does.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn shadow(&self) -> Result<ShadowRow, ReleaseError> {
        self.handlers.trials().shadow.ok_or_else(|| ReleaseError::Unknown(NO_SHADOW.to_owned()))
    }

    /// Ends the shadow, and gives what it came to.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn stop_shadow(&self, order: Order) -> Result<ShadowRow, ReleaseError> {
        self.beside(move |releases| {
            let row = releases.handlers.stop_shadow();
            let row = row.ok_or_else(|| ReleaseError::Unknown(NO_SHADOW.to_owned()))?;
            tracing::info!(who = order.who, why = order.why, "the shadow is over");
            Ok(row)
        })
        .await
    }
}

impl Releases {
    /// Why something is tried: as a deploy is.
    pub(super) fn why(&self, order: &Order) -> Why {
        Why { who: order.who.clone(), how: How::Deploy, why: order.why.clone(), back_to: None, forced: order.forced }
    }
}
