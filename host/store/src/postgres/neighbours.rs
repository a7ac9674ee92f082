//! The hosts that use the database beside this one: looks at them, and declares dead those that show no life, so that their
//! rooms find another home. The clock of the database alone says how long a host has been silent.
//!
//! A host judges only after it has beaten without a break for as long as it grants the others: when the database comes back
//! after a pause, the first to return judges no other. Neither is a host whose row is locked, since its batch is being
//! stored at that moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Error, Row};

use super::control::Control;
use super::opening::{LOST, LOST_WITH_CONNECTION, lives};
use super::this_host::ThisHost;
use super::writer::fenced;
use crate::error::StoreError;
use crate::hosts::{HostRow, HostState, Hosts};

/// How often the others are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A look that is older says nothing any more: the database may have stood still since.
const LOOK_AGE_MAX: Duration = Duration::from_secs(1);

const LOOK: &str = concat!(
    "SELECT no, name, state, version, release, extract(epoch FROM clock_timestamp() - beat)::float8 AS age,
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
    look_is_due: Notify,
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
    pub(super) async fn start(control: &Arc<Control>, host: &Arc<ThisHost>) -> Result<Self, StoreError> {
        let neighbours = Arc::new(Neighbours::new(Arc::clone(control), Arc::clone(host)));
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
    pub(super) fn new(control: Arc<Control>, host: Arc<ThisHost>) -> Self {
        Self { control, host, known: watch::Sender::new(Hosts::default()), look_is_due: Notify::new() }
    }

    /// The hosts as they were at the last look.
    pub(super) fn hosts(&self) -> watch::Receiver<Hosts> {
        self.known.subscribe()
    }

    /// Looks at once.
    pub(super) fn look_at_once(&self) {
        self.look_is_due.notify_one();
    }

    /// Looks until this host has lost its role. When the database does not answer, what is known stays as it was.
    pub(super) async fn look_on(&self) {
        while self.host.lost().is_none() {
            match self.look().await {
                // Its rooms wait for others to hear of it.
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "the other hosts cannot be seen: {error}"),
            }
            let _ = timeout(LOOK_EVERY, self.look_is_due.notified()).await;
        }
    }

    /// Looks once. Returns whether a host was declared dead.
    pub(super) async fn look(&self) -> Result<bool, StoreError> {
        let (no, begun) = (self.host.no, Instant::now());
        let look = self.control.ask(|client| async move { look(&client, no).await }).await?;
        if !look.hosts.contains_key(&no) {
            let host = &self.host;
            self.control.ask(|client| async move { Ok(fenced(&client, host).await) }).await?;
            return Ok(false);
        }
        let is_fresh = begun.elapsed() < LOOK_AGE_MAX;
        let (free, at) = (look.free, look.at);
        let silent: Vec<_> = look.hosts.values().filter(|host| is_silent(host, &free)).cloned().collect();
        self.publish(look.hosts);
        let mut has_judged = false;
        for host in silent.iter().filter(|host| host.no != no) {
            if is_fresh && self.host.has_beaten_for(LOST) {
                has_judged |= self.judge(host, at).await?;
            }
        }
        Ok(has_judged)
    }

    async fn judge(&self, other: &HostRow, looked_at: f64) -> Result<bool, StoreError> {
        let (no, before) = (other.no, looked_at + LOOK_AGE_MAX.as_secs_f64());
        let is_dead = self.control.ask(|client| async move { judge(&client, no, before).await }).await?;
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

    fn publish(&self, hosts: BTreeMap<i32, HostRow>) {
        self.known.send_if_modified(|known| {
            let is_changed =
                known.len() != hosts.len() || !known.values().zip(hosts.values()).all(|(a, b)| is_same(a, b));
            *known = Arc::new(hosts);
            is_changed
        });
    }
}

/// Whether a host is dead if nothing is heard of it until it is judged.
fn is_silent(host: &HostRow, free: &[i32]) -> bool {
    host.beat_age >= LOST || (host.beat_age >= LOST_WITH_CONNECTION && free.contains(&host.no))
}

/// Whether two looks have found the same, apart from beats.
fn is_same(one: &HostRow, other: &HostRow) -> bool {
    HostRow { beat_age: Duration::ZERO, ..one.clone() } == HostRow { beat_age: Duration::ZERO, ..other.clone() }
}

async fn look(client: &Client, no: i32) -> Result<Look, Error> {
    let rows = client.query(LOOK, &[&no, &LOST_WITH_CONNECTION.as_secs_f64()]).await?;
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
pub(super) async fn judge(client: &Client, no: i32, before: f64) -> Result<bool, Error> {
    let [with_connection, lost] = [LOST_WITH_CONNECTION, LOST].map(|time| time.as_secs_f64());
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
        release: row.try_get("release")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(beat_age: Duration) -> HostRow {
        let (name, version) = ("chat-1".to_owned(), "0.1.0".to_owned());
        HostRow { no: 4, name, state: HostState::Live, beat_age, version, release: 0 }
    }

    #[test]
    fn a_host_without_a_connection_is_dead_sooner() {
        for (seconds, free, expected) in [(0, true, false), (1, true, true), (2, false, false), (3, false, true)] {
            let free: &[i32] = if free { &[2, 4] } else { &[2] };
            assert_eq!(is_silent(&host(Duration::from_secs(seconds)), free), expected, "{seconds} {free:?}");
        }
    }

    #[test]
    fn a_beat_is_no_change() {
        let (one, other) = (host(Duration::ZERO), host(Duration::from_secs(1)));
        assert!(is_same(&one, &other));
        assert!(!is_same(&one, &HostRow { release: 7, ..other.clone() }));
        assert!(!is_same(&one, &HostRow { state: HostState::Draining, ..other }));
    }
}
