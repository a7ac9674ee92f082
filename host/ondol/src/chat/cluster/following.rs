//! A release that one host records as active becomes active on all, and so does a canary. A host that has recorded one says so;
//! besides, its beats tell of it, and each host looks into the database.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::Hosts;
use super::canaries::Due;
use super::release_record::ReleaseNews;
use crate::chat::releases::Releases;

/// How often a host notices that its own release or canary is another one.
const NOTICE: Duration = Duration::from_millis(100);

/// After how many times it looks into the database, whatever it has heard.
const LOOK_AFTER: u32 = 20;

/// Makes active what other hosts have made active.
struct Follower {
    hosts: Arc<Hosts>,
    releases: Arc<Releases>,
    /// How many times it has noticed nothing.
    noticed: u32,
    /// The latest release of this host that the others were told of.
    announced: i64,
    /// The release that could not be followed: it is tried again only when it is time to look.
    failed: i64,
}

/// Follows for as long as the process.
pub(super) async fn run(hosts: Arc<Hosts>, releases: Arc<Releases>) {
    let mut latest = hosts.latest_release.subscribe();
    // What it begins with is not announced.
    let mut follower = Follower { hosts, releases, noticed: 0, announced: i64::MAX, failed: 0 };
    loop {
        let _ = timeout(NOTICE, latest.changed()).await;
        let heard = *latest.borrow_and_update();
        // The number is behind a lock that a deploy holds while it waits for the database.
        let turn = tokio::task::spawn_blocking(move || {
            follower.turn(heard);
            follower
        });
        follower = match turn.await {
            Ok(follower) => follower,
            Err(error) => return tracing::error!(%error, "following releases has ended: {error}"),
        };
    }
}

impl Follower {
    fn turn(&mut self, heard: i64) {
        self.noticed += 1;
        let own = self.own();
        if own > heard && own > self.announced {
            // A rollback of a probation: no one has said so.
            self.hosts.tell_active(own.unsigned_abs());
        }
        self.announced = own;
        self.hosts.bus.set_release(own);
        let is_time = self.hosts.must_look.swap(false, Ordering::AcqRel) || self.noticed >= LOOK_AFTER;
        if is_time || (heard > own && heard != self.failed) {
            self.noticed = 0;
            self.failed = match self.releases.follow() {
                Ok(_) => 0,
                Err(error) => {
                    // It tries again.
                    tracing::warn!(%error, "this host cannot follow the releases of others: {error}");
                    heard
                }
            };
            self.announced = self.own();
            self.hosts.bus.set_release(self.announced);
            self.releases.drop_unused();
        }
        self.follow_canary();
    }

    fn own(&self) -> i64 {
        i64::try_from(self.hosts.handlers.numbered().number).unwrap_or_default()
    }

    fn follow_canary(&self) {
        let (release, own) = self.hosts.handlers.canary_terms();
        let (news, due) = {
            let mut canaries = self.hosts.canaries();
            (canaries.look(release, own.as_ref()), canaries.due(release))
        };
        if let Some(news) = news {
            self.hosts.tell_others(&ReleaseNews::Canary(news));
        }
        let Some(due) = due else { return };
        let followed = match &due {
            Due::Start(canary) => self.releases.follow_canary(canary),
            Due::End => {
                self.hosts.handlers.follow_end_of_canary();
                Ok(true)
            }
        };
        match followed {
            Ok(true) => self.hosts.canaries().done(due),
            // Another release is active by now.
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "the canary of another host is not active here: {error}");
                self.hosts.canaries().fail();
            }
        }
    }
}
