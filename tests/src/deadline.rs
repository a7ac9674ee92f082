//! Waiting for a condition, and never for a time. Knows nothing of what it waits for.

use std::{fmt::Display, future::Future, time::Duration};

use anyhow::{Result, anyhow};

/// How long anything that a story awaits may take. Long, because a machine may be busy; only a story that fails waits for
/// all of it. A limit that must not be what ends a wait is [`NEVER_MS`].
pub const DEADLINE: Duration = Duration::from_secs(60);

/// For a time limit of the server that a story must not reach: far longer than [`DEADLINE`].
pub const NEVER_MS: u64 = 3_600_000;

/// Awaits `work`, and says what was awaited when it does not come in time.
///
/// # Errors
/// When [`DEADLINE`] passes first.
pub async fn within<T>(what: impl Display, work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(DEADLINE, work).await.map_err(|_| anyhow!("waited {DEADLINE:?} in vain for {what}"))
}

/// Asks again and again until `ready` gives something. For conditions that nobody announces, such as a process's end.
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
