//! Notices hosts that nothing is heard of on the bus, and has the database asked about them at once: a host that was killed
//! has closed its connection there. Judges no host.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Hosts;

/// How long nothing may be heard of a host: three beats.
const SILENT: Duration = Duration::from_millis(750);

/// How long this host's own beats may take to come back. Otherwise it is the bus that brings nothing.
const ECHO_MAX: Duration = Duration::from_millis(500);

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// Looks for as long as the process.
pub(super) async fn run(hosts: Arc<Hosts>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut suspected = BTreeSet::new();
    loop {
        looks.tick().await;
        let silent = silent(&hosts);
        if silent != suspected {
            tracing::debug!(hosts = ?silent, "nothing is heard of {} hosts", silent.len());
            hosts.pipeline.store.suspect(silent.clone());
            suspected = silent;
        }
    }
}

/// The hosts that nothing is heard of, though the bus works.
fn silent(hosts: &Hosts) -> BTreeSet<i32> {
    if hosts.bus.echo_age() > ECHO_MAX {
        return BTreeSet::new();
    }
    let is_silent = |host: &i32| hosts.bus.beat_age(*host).is_some_and(|age| age > SILENT);
    hosts.known().into_iter().filter(is_silent).collect()
}
