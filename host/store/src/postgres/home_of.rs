//! Which host is the home of a room, for operators. Claims nothing.

use super::Postgres;
use super::reports::Report;
use super::rows::to_sql;
use crate::error::StoreError;
use ondol_host_model::RoomId;

/// A home that is gone is none.
const HOME_OF: &str = "SELECT h.no, h.name FROM room r \
    LEFT JOIN host h ON h.no = r.host AND h.state IN ('joining', 'live', 'draining') WHERE r.id = $1";

impl Postgres {
    /// The number and the name of the host that is a room's home.
    pub(crate) async fn home_of(&self, room: RoomId) -> Result<Option<(i32, String)>, StoreError> {
        let id = to_sql(room.0);
        let row = self.control.ask(|client| async move { client.query_opt(HOME_OF, &[&id]).await }).await?;
        let row = row.ok_or(StoreError::NoRoom)?;
        let (no, name): (Option<i32>, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        Ok(no.zip(name))
    }

    /// What this host says of itself with its next beats.
    pub(crate) fn report(&self, release: i64, connections: usize) {
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let (rooms, connections) = (count(self.heads.len()), count(connections));
        self.host.reports.set(Report { release, rooms, connections });
    }

    /// The name of the chat, which every copy of its database has.
    pub(crate) fn chat_id(&self) -> &str {
        &self.chat_id
    }
}
