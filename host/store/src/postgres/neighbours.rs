//! The hosts that use the database beside this one: looks at them, and declares dead those that show no life, so that their
//! rooms find another home. The clock of the database alone says how long a host has been silent.
//!
//! A host judges only after it has beaten without a break for as long as it grants the others: when the database comes back
//! after a pause, the first to return judges no other. Neither is a host whose row is locked, since its batch is being
//! stored at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Error, Row};

use super::control::Control;
use super::opening::{LOST_EVERYWHERE, LOST_WITH_CONNECTION, lives};
use super::this_host::ThisHost;
use super::writer::fenced;
use crate::error::StoreError;
use crate::hosts::{HostRow, HostState, Hosts};

/// How often the others are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The same while one of them may be gone.
const LOOK_OFTEN: Duration = Duration::from_millis(50);

/// A look that is older says nothing any more: the database may have stood still since.
const LOOK_AGE_MAX: Duration = Duration::from_secs(1);

const LOOK: &str = concat!(
    "SELECT no, name, state, version, proto, release, rooms, connections, extract(epoch FROM clock_timestamp() - beat)::float8 AS age,
        CASE WHEN no <> $1 AND beat < clock_timestamp() - make_interval(secs => $2)
            THEN pg_try_advisory_xact_lock_shared(",
    lives!("no"),
    ") ELSE false END AS is_free,
        extract(epoch FROM clock_timestamp())::float8 AS now
    FROM host WHERE state IN ('joining', 'live', 'draining')"
);

/// The same conditions once more, since time has passed. A host whose row is locked is left alone: its batch beats.
const JUDGE: &str = concat!(
    "UPDATE host SET state = 'dead' FROM (
        SELECT no FROM host
        WHERE no = $1 AND state IN ('joining', 'live', 'draining')
        AND (beat < clock_timestamp() - make_interval(secs => $3)
            OR (beat < clock_timestamp() - make_interval(secs => $2) AND pg_try_advisory_xact_lock_shared(",
    lives!("no"),
    ")))
        AND extract(epoch FROM clock_timestamp())::float8 < $4
        FOR UPDATE SKIP LOCKED
    ) silent WHERE host.no = silent.no"
);

/// The hosts that use the database.
pub(super) struct Neighbours {
    control: Arc<Control>,
    host: Arc<ThisHost>,
    known: watch::Sender<Hosts>,
    /// Those that nothing is heard of elsewhere.
    suspected: Mutex<BTreeSet<i32>>,
    look_is_due: Notify,
    /// A host that shows no life for so long is dead.
    lost: Duration,
}

/// What came of a look.
pub(super) struct Looked {
    /// A host was declared dead.
    pub(super) has_judged: bool,
    /// When to look again.
    next: Duration,
}

/// What a look has found.
struct Look {
    hosts: BTreeMap<i32, HostRow>,
    /// The hosts whose connection is gone.
    free: Vec<i32>,
    /// When, by the clock of the database, in seconds since 1970.
    at: f64,
}

/// The other hosts, and the task that looks at them. It ends when this is dropped.
pub(super) struct Watched {
    pub(super) neighbours: Arc<Neighbours>,
    looking: AbortHandle,
}

impl Watched {
    /// Looks once, and then on and on.
    pub(super) async fn start(
        control: &Arc<Control>,
        host: &Arc<ThisHost>,
        lost: Duration,
    ) -> Result<Self, StoreError> {
        let neighbours = Arc::new(Neighbours::new(Arc::clone(control), Arc::clone(host), lost));
        neighbours.look().await?;
        let looking = tokio::spawn({
            let neighbours = Arc::clone(&neighbours);
            async move { neighbours.look_on().await }
        });
        Ok(Self { neighbours, looking: looking.abort_handle() })
    }

    /// Looks no more.
    pub(super) fn stop(&self) {
        self.looking.abort();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Neighbours {
    /// Knows of no host yet.
    pub(super) fn new(control: Arc<Control>, host: Arc<ThisHost>, lost: Duration) -> Self {
        let (known, suspected) = (watch::Sender::new(Hosts::default()), Mutex::default());
        Self { control, host, known, suspected, look_is_due: Notify::new(), lost }
    }

    /// The hosts as they were at the last look.
    pub(super) fn hosts(&self) -> watch::Receiver<Hosts> {
        self.known.subscribe()
    }

    /// Looks at once.
    pub(super) fn look_at_once(&self) {
        self.look_is_due.notify_one();
    }

    /// Nothing is heard of these hosts elsewhere, and something of all others. Looks at once.
    pub(super) fn suspect(&self, hosts: BTreeSet<i32>) {
        *self.suspected() = hosts;
        self.look_at_once();
    }

    /// Looks until this host has lost its role. When the database does not answer, what is known stays as it was.
    pub(super) async fn look_on(&self) {
        while self.host.lost().is_none() {
            let pause = match self.look().await {
                // Its rooms wait for others to hear of it.
                Ok(Looked { has_judged: true, .. }) => continue,
                Ok(Looked { next, .. }) => next,
                Err(error) => {
                    tracing::debug!(%error, "the other hosts cannot be seen: {error}");
                    LOOK_EVERY
                }
            };
            let _ = timeout(pause, self.look_is_due.notified()).await;
        }
    }

    /// Looks once.
    pub(super) async fn look(&self) -> Result<Looked, StoreError> {
        let (no, begun) = (self.host.no, Instant::now());
        let look = self.control.ask(|client| async move { look(&client, no).await }).await?;
        if !look.hosts.contains_key(&no) {
            let host = &self.host;
            self.control.ask(|client| async move { Ok(fenced(&client, host).await) }).await?;
            return Ok(Looked { has_judged: false, next: LOOK_EVERY });
        }
        let is_fresh = begun.elapsed() < LOOK_AGE_MAX;
        let (free, at, suspected) = (look.free, look.at, self.suspected().clone());
        let allowed = |host: &HostRow| allowed(free.contains(&host.no), suspected.contains(&host.no), self.lost);
        let others = look.hosts.values().filter(|host| host.no != no);
        let next = others.clone().map(|host| next_look(host.beat_age, allowed(host))).min().unwrap_or(LOOK_EVERY);
        let silent = others.filter(|host| host.beat_age >= allowed(host));
        let silent: Vec<_> = silent.map(|host| (host.clone(), suspected.contains(&host.no))).collect();
        self.publish(look.hosts);
        let mut has_judged = false;
        for (host, is_suspected) in silent {
            if is_fresh && self.host.has_beaten_for(self.lost) {
                has_judged |= self.judge(&host, at, is_suspected).await?;
            }
        }
        Ok(Looked { has_judged, next })
    }

    async fn judge(&self, other: &HostRow, looked_at: f64, is_suspected: bool) -> Result<bool, StoreError> {
        let (no, before, lost) = (other.no, looked_at + LOOK_AGE_MAX.as_secs_f64(), self.lost);
        let judge = |client: Arc<Client>| async move { judge(&client, no, is_suspected, before, lost).await };
        let is_dead = self.control.ask(judge).await?;
        if is_dead {
            let (name, age) = (other.name.as_str(), other.beat_age);
            tracing::warn!(
                host = name,
                no,
                ?age,
                "the host {name} ({no}) has shown no life for {age:?}: its rooms are free"
            );
        }
        Ok(is_dead)
    }

    fn suspected(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.suspected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, hosts: BTreeMap<i32, HostRow>) {
        self.known.send_if_modified(|known| {
            let is_changed =
                known.len() != hosts.len() || !known.values().zip(hosts.values()).all(|(a, b)| is_same(a, b));
            *known = Arc::new(hosts);
            is_changed
        });
    }
}

/// How long a host may show no life. `is_free`: its connection is gone. Otherwise it is certain that it cannot answer only after
/// long, whatever is heard of it elsewhere: it may just be busy.
fn allowed(is_free: bool, is_suspected: bool, lost: Duration) -> Duration {
    match (is_free, is_suspected) {
        (false, _) => lost,
        (true, false) => LOST_WITH_CONNECTION.min(lost),
        (true, true) => LOST_EVERYWHERE.min(lost),
    }
}

/// When to look again, after a look that has found a beat of this age.
fn next_look(beat_age: Duration, allowed: Duration) -> Duration {
    allowed.saturating_sub(beat_age).clamp(LOOK_OFTEN, LOOK_EVERY)
}

/// Whether two looks have found the same, apart from beats and the figures that come with them.
fn is_same(one: &HostRow, other: &HostRow) -> bool {
    let still = |host: &HostRow| HostRow { beat_age: Duration::ZERO, rooms: None, connections: None, ..host.clone() };
    still(one) == still(other)
}

async fn look(client: &Client, no: i32) -> Result<Look, Error> {
    let rows = client.query(LOOK, &[&no, &LOST_EVERYWHERE.as_secs_f64()]).await?;
    let mut look = Look { hosts: BTreeMap::new(), free: Vec::new(), at: 0.0 };
    for row in rows {
        let host = read_host(&row)?;
        if row.try_get("is_free")? {
            look.free.push(host.no);
        }
        look.at = row.try_get("now")?;
        look.hosts.insert(host.no, host);
    }
    Ok(look)
}

/// Declares a host dead if it is silent, by a look before this time. Returns whether it was.
pub(super) async fn judge(
    client: &Client,
    no: i32,
    is_suspected: bool,
    before: f64,
    lost: Duration,
) -> Result<bool, Error> {
    let [with_connection, lost] = [true, false].map(|is_free| allowed(is_free, is_suspected, lost).as_secs_f64());
    Ok(client.execute(JUDGE, &[&no, &with_connection, &lost, &before]).await? > 0)
}

fn read_host(row: &Row) -> Result<HostRow, Error> {
    let state = match row.try_get("state")? {
        "joining" => HostState::Joining,
        "draining" => HostState::Draining,
        _ => HostState::Live,
    };
    Ok(HostRow {
        no: row.try_get("no")?,
        name: row.try_get("name")?,
        state,
        beat_age: Duration::try_from_secs_f64(row.try_get("age")?).unwrap_or_default(),
        version: row.try_get("version")?,
        proto: row.try_get("proto")?,
        release: row.try_get("release")?,
        rooms: row.try_get::<_, Option<i32>>("rooms")?.map(i32::unsigned_abs),
        connections: row.try_get::<_, Option<i32>>("connections")?.map(i32::unsigned_abs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(beat_age: Duration) -> HostRow {
        let (name, version) = ("chat-1".to_owned(), "0.1.0".to_owned());
        let (state, rooms, connections) = (HostState::Live, Some(3), None);
        HostRow { no: 4, name, state, beat_age, version, proto: 1, release: 0, rooms, connections }
    }

    #[test]
    fn a_host_without_a_connection_is_dead_sooner() {
        let allowed = |lost| {
            [(false, false), (false, true), (true, false), (true, true)]
                .map(|(free, suspected)| allowed(free, suspected, Duration::from_secs(lost)).as_millis())
        };
        assert_eq!(allowed(3), [3_000, 3_000, 1_000, 500]);
        assert_eq!(allowed(10), [10_000, 10_000, 1_000, 500], "as long as it is granted");
    }

    #[test]
    fn a_host_that_may_be_gone_is_looked_at_more_often() {
        let ms = Duration::from_millis;
        let next = |age, allowed| next_look(ms(age), ms(allowed)).as_millis();
        assert_eq!([next(0, 3_000), next(2_900, 3_000), next(3_500, 3_000)], [250, 100, 50]);
        assert_eq!([next(400, 500), next(600, 500)], [100, 50]);
    }

    #[test]
    fn a_beat_is_no_change() {
        let (one, other) = (host(Duration::ZERO), host(Duration::from_secs(1)));
        assert!(is_same(&one, &other));
        assert!(is_same(&one, &HostRow { rooms: Some(4), connections: Some(9), ..other.clone() }));
        assert!(!is_same(&one, &HostRow { release: 7, ..other.clone() }));
        assert!(!is_same(&one, &HostRow { state: HostState::Draining, ..other }));
    }
}
