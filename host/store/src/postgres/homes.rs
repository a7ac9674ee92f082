//! What several hosts on one database need: which of them is the home of a room, which there are, and which forwarded frames
//! are stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_postgres::Client;

use super::Postgres;
use super::rooms;
use super::writer::fenced;
use crate::error::StoreError;
use crate::hosts::{Claimed, Hosts};
use ondol_host_model::{RoomId, Seq};

/// How often a room is claimed whose home is gone by the time that it is asked for.
const CLAIMS_MAX: usize = 5;

impl Postgres {
    /// Makes this host the home of a room, so that it numbers its messages, unless another host that is alive is.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`], [`StoreError::Fenced`], or PostgreSQL's error.
    pub(crate) async fn claim(&self, room: RoomId) -> Result<Claimed, StoreError> {
        if let Some(lost) = self.host.lost() {
            return Err(lost);
        }
        let no = self.host.no;
        for _ in 0..CLAIMS_MAX {
            let heads = self.control.ask(|client| async move { rooms::claim(&client, no, &[room]).await }).await?;
            let head = heads.first().ok_or(StoreError::NoRoom)?;
            if !head.is_live {
                let host = &self.host;
                return Err(self.control.ask(|client| async move { Ok(fenced(&client, host).await) }).await?);
            }
            match head.home {
                Some(home) if home == no => {
                    self.ids.above(head.last_id).await?;
                    self.heads.claimed(room, head.last_seq);
                    self.cache.claimed(room);
                    return Ok(Claimed::Here { last: head.last_seq });
                }
                Some(host) => {
                    self.is_elsewhere(room);
                    return Ok(Claimed::There { host });
                }
                // Its home has gone between the claim and the look.
                None => {}
            }
        }
        Err(StoreError::HomeElsewhere)
    }

    /// Gives up the role of the home of rooms.
    ///
    /// # Errors
    ///
    /// PostgreSQL's error.
    pub(crate) async fn release(&self, rooms: &[RoomId]) -> Result<(), StoreError> {
        // First: another host may write to them before the answer is here.
        rooms.iter().for_each(|room| self.is_elsewhere(*room));
        let no = self.host.no;
        self.control.ask(|client| async move { rooms::release(&client, no, rooms).await }).await
    }

    /// Forgets what the home of a room knows.
    pub(super) fn is_elsewhere(&self, room: RoomId) {
        self.heads.forget([room]);
        self.cache.lost(room);
    }

    pub(crate) fn host_no(&self) -> i32 {
        self.host.no
    }

    /// The hosts that use the database. None: this one uses it alone.
    pub(crate) fn hosts(&self) -> Option<watch::Receiver<Hosts>> {
        Some(self.neighbours.as_ref()?.neighbours.hosts())
    }

    pub(crate) fn look_at_hosts(&self) {
        if let Some(watched) = &self.neighbours {
            watched.neighbours.look_at_once();
        }
    }

    pub(crate) fn suspect(&self, hosts: BTreeSet<i32>) {
        if let Some(watched) = &self.neighbours {
            watched.neighbours.suspect(hosts);
        }
    }

    /// Tells the other hosts that this one is about to leave.
    pub(crate) async fn drain(&self) -> Result<(), StoreError> {
        let no = self.host.no;
        let drain = |client: Arc<Client>| async move {
            client
                .execute("UPDATE host SET state = 'draining' WHERE no = $1 AND state = 'live'", &[&no])
                .await
                .map(drop)
        };
        self.control.ask(drain).await
    }

    pub(crate) async fn stored_origins(
        &self,
        room: RoomId,
        after: Seq,
        host: i32,
    ) -> Result<Vec<(i64, Seq)>, StoreError> {
        self.reading.stored_origins(room, after, host).await
    }
}
