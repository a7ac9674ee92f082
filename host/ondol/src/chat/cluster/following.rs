//! A release that one host records as active becomes active on all. A host tells of its own with its beats; besides, each looks
//! into the database.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Hosts;
use crate::chat::releases::Releases;

/// How often a host notices that its own release is another one.
const NOTICE: Duration = Duration::from_millis(100);

/// After how many times it looks into the database, whatever it has heard.
const LOOK_AFTER: u32 = 20;

/// Follows for as long as the process.
pub(super) async fn run(hosts: Arc<Hosts>, releases: Arc<Releases>) {
    let mut latest = hosts.latest_release.subscribe();
    let mut noticed = 0;
    loop {
        let _ = timeout(NOTICE, latest.changed()).await;
        noticed += 1;
        let (handlers, heard) = (Arc::clone(&hosts.handlers), *latest.borrow_and_update());
        // The number is behind a lock that a deploy holds while it waits for the database.
        let own = tokio::task::spawn_blocking(move || handlers.numbered().number).await.unwrap_or_default();
        let own = i64::try_from(own).unwrap_or_default();
        hosts.bus.set_release(own);
        if heard <= own && noticed < LOOK_AFTER {
            continue;
        }
        noticed = 0;
        let releases = Arc::clone(&releases);
        match tokio::task::spawn_blocking(move || releases.follow()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "the release of another host is not active here: {error}"),
            Err(error) => tracing::error!(%error, "following releases failed: {error}"),
        }
    }
}
