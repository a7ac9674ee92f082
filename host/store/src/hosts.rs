//! Several hosts on one database: which there are, and which of them is the home of a room. A database in a file has one
//! host, and it is the home of all rooms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Store;
use super::engine::Engine;
use super::error::StoreError;
use ondol_host_model::{RoomId, Seq};

/// How many bits of an origin count the frames of its host.
const ORIGIN_COUNTER_BITS: u32 = 40;

/// The host that numbers the messages of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// This one.
    Here {
        /// The last `seq` of the room, 0 if it has no message.
        last: Seq,
    },
    /// Another one, which was alive a moment ago.
    There {
        /// Its number.
        host: i32,
    },
}

/// What a host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostState {
    /// It starts, and is the home of no room yet.
    Joining,
    /// It takes part.
    Live,
    /// It is about to leave.
    Draining,
}

/// A host that uses the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// Its number. Each start of a host has its own.
    pub no: i32,
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: HostState,
    /// How long it had shown no life when it was looked at, by the clock of the database.
    pub beat_age: Duration,
    /// The version of its server.
    pub version: String,
    /// The version of what it says to other hosts.
    pub proto: i32,
    /// Its active release. 0: not known.
    pub release: i64,
    /// The rooms whose home it is. None: it has not said so yet.
    pub rooms: Option<u32>,
    /// Its open connections.
    pub connections: Option<u32>,
}

/// The hosts that use a database, by their numbers.
pub type Hosts = Arc<BTreeMap<i32, HostRow>>;

/// The origins of frames that a host forwards: from the first up to the second.
pub(super) fn origins_of(host: i32) -> (i64, i64) {
    let first = |host: i64| host << ORIGIN_COUNTER_BITS;
    (first(host.into()), first(i64::from(host) + 1))
}

impl<T: Send + 'static> Store<T> {
    /// Takes it upon this host to number the messages of a room, unless another host that is alive does.
    ///
    /// # Errors
    ///
    /// The database's error, [`StoreError::NoRoom`], or [`StoreError::Fenced`].
    pub async fn claim(&self, room: RoomId) -> Result<Claimed, StoreError> {
        match &*self.engine {
            Engine::Sqlite(sqlite) => Ok(Claimed::Here { last: sqlite.last_seq(room).await? }),
            Engine::Postgres(postgres) => postgres.claim(room).await,
        }
    }

    /// Gives up the role of the home of rooms. Nothing of them may be on its way to the database, and until this returns none may be
    /// claimed.
    ///
    /// # Errors
    ///
    /// The database's error: some or all may have no home.
    pub async fn release(&self, rooms: &[RoomId]) -> Result<(), StoreError> {
        match &*self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(postgres) => postgres.release(rooms).await,
        }
    }

    /// The number of this host in the database. None: the database is a file.
    #[must_use]
    pub fn host_no(&self) -> Option<i32> {
        match &*self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(postgres) => Some(postgres.host_no()),
        }
    }

    /// The hosts that use the database, this one among them, as they were at the last look. Receivers are woken when one comes,
    /// goes or changes, and not by beats. None: no other host may use it.
    #[must_use]
    pub fn hosts(&self) -> Option<watch::Receiver<Hosts>> {
        match &*self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(postgres) => postgres.hosts(),
        }
    }

    /// Looks at the hosts at once, and not only when it is time.
    pub fn look_at_hosts(&self) {
        match &*self.engine {
            Engine::Sqlite(_) => {}
            Engine::Postgres(postgres) => postgres.look_at_hosts(),
        }
    }

    /// Nothing is heard of these hosts elsewhere, and something of all others. Those whose connection to the database is gone as well
    /// are declared dead sooner. Looks at once.
    pub fn suspect(&self, hosts: BTreeSet<i32>) {
        match &*self.engine {
            Engine::Sqlite(_) => {}
            Engine::Postgres(postgres) => postgres.suspect(hosts),
        }
    }

    /// What this host says of itself: its active release, and how many connections are open. It is written with beats, about
    /// once a second, together with the number of rooms whose home this host is.
    pub fn report(&self, release: i64, connections: usize) {
        match &*self.engine {
            Engine::Sqlite(_) => {}
            Engine::Postgres(postgres) => postgres.report(release, connections),
        }
    }

    /// The name of the chat in the database, unlike that of any other. None: the database is a file.
    #[must_use]
    pub fn chat_id(&self) -> Option<&str> {
        match &*self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(postgres) => Some(postgres.chat_id()),
        }
    }

    /// The number and the name of the host that is a room's home. None: no host that is alive is, or the database is a file.
    ///
    /// # Errors
    ///
    /// The database's error, or [`StoreError::NoRoom`].
    pub async fn home_of(&self, room: RoomId) -> Result<Option<(i32, String)>, StoreError> {
        match &*self.engine {
            Engine::Sqlite(_) => Ok(None),
            Engine::Postgres(postgres) => postgres.home_of(room).await,
        }
    }

    /// Tells the other hosts that this one is about to leave.
    ///
    /// # Errors
    ///
    /// The database's error.
    pub async fn drain(&self) -> Result<(), StoreError> {
        match &*self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(postgres) => postgres.drain().await,
        }
    }

    /// The frames forwarded by a host whose messages are stored after `after` in a room: the origin and `seq` of each, in the
    /// order of `seq`. An origin is the number of the host, shifted left by 40 bits, and a counter below.
    ///
    /// # Errors
    ///
    /// The database's error.
    pub async fn stored_origins(&self, room: RoomId, after: Seq, host: i32) -> Result<Vec<(i64, Seq)>, StoreError> {
        match &*self.engine {
            Engine::Sqlite(_) => Ok(Vec::new()),
            Engine::Postgres(postgres) => postgres.stored_origins(room, after, host).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_of_two_hosts_do_not_meet() {
        assert_eq!(origins_of(1), (1 << 40, 2 << 40));
        assert_eq!(origins_of(1).1, origins_of(2).0);
    }
}
