//! Waiting for conditions, and never for a time. Knows nothing of the conditions.

use std::{fmt::Display, future::Future, time::Duration};

use anyhow::{Result, anyhow};

/// The maximum of a wait. Long, because a machine may be busy; only a story that fails waits for so long. A time limit
/// of the server that must not end a wait is set to [`NEVER_MS`].
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A time limit that no story reaches: far longer than [`DEADLINE`].
pub const NEVER_MS: u64 = 3_600_000;

/// Waits for `work`. The error says `what` the wait was for.
///
/// # Errors
/// When [`DEADLINE`] passes first.
pub async fn within<T>(what: impl Display, work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(DEADLINE, work).await.map_err(|_| anyhow!("waited {DEADLINE:?} for {what}"))
}

/// Waits as a client does that was asked to. Not for a condition: [`until`] is for those.
pub async fn pause(asked: Duration) {
    tokio::time::sleep(asked).await;
}

/// Calls `ready` until it returns something. For conditions without an event, such as the end of a process.
///
/// # Errors
/// When [`DEADLINE`] passes first.
pub async fn until<T>(what: impl Display, mut ready: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    within(what, async {
        loop {
            if let Some(found) = ready().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}
