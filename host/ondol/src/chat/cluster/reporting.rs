//! A host says of itself what it has, for operators at other hosts. The database has it about a second later.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Hosts;
use crate::chat::connection_quota::ConnectionQuota;

/// How often.
const EVERY: Duration = Duration::from_millis(500);

/// Says it for as long as the process runs.
pub(super) async fn run(hosts: Arc<Hosts>, connections: Arc<ConnectionQuota>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        hosts.pipeline.store.report(hosts.bus.release(), connections.open());
    }
}
