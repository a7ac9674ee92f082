//! Deleting messages of a room: under the same conditions as a batch, and in its turn.

use tokio_postgres::{Client, Error};

use super::batch::BatchWriter;
use super::call::Call;
use super::rooms::claim;
use super::rows::to_sql;
use super::writer::Refused;
use crate::error::StoreError;
use crate::outcomes::{Deleted, Deletion};
use ondol_host_model::{MessageId, RoomId, Seq, Timestamp};

impl BatchWriter {
    /// Deletes messages of a room whose home this host is. Those that do not exist are left out.
    pub(super) async fn delete(&mut self, room: RoomId, seqs: &[Seq]) -> Result<Deletion, StoreError> {
        let no = self.writer.host.no;
        let claimed = self.writer.ask(|client| async move { claim(&client, no, &[room]).await }).await?;
        let Some(claimed) = claimed.first() else { return Ok(Deletion::default()) };
        if claimed.home != Some(no) {
            return Err(StoreError::HomeElsewhere);
        }
        let seqs: Vec<i64> = seqs.iter().map(|seq| to_sql(seq.0)).collect();
        let seqs = seqs.as_slice();
        // Read first, since the answer to the call may be lost. No other host deletes in this room.
        let deletion = self.writer.ask(|client| async move { find(&client, room, seqs).await }).await?;
        if deletion.messages.is_empty() {
            return Ok(deletion);
        }
        let seqs = deletion.messages.iter().map(|deleted| to_sql(deleted.seq.0)).collect();
        match self.writer.store(&Call::Delete { room, seqs, now: Timestamp::now() }).await {
            Ok(()) => Ok(deletion),
            Err(Refused::Content(error)) if super::answers::is_out_of_turn(&error) => Err(StoreError::HomeElsewhere),
            Err(refused) => Err(refused.into()),
        }
    }
}

async fn find(client: &Client, room: RoomId, seqs: &[i64]) -> Result<Deletion, Error> {
    let sql = "SELECT seq, id, sender FROM message WHERE room = $1 AND seq = ANY ($2) ORDER BY seq";
    let mut deletion = Deletion::default();
    for row in client.query(sql, &[&to_sql(room.0), &seqs]).await? {
        let [seq, id] = [row.try_get::<_, i64>(0)?, row.try_get(1)?].map(i64::unsigned_abs);
        deletion.messages.push(Deleted { seq: Seq(seq), id: MessageId(id) });
        let sender = row.try_get(2)?;
        if !deletion.senders.contains(&sender) {
            deletion.senders.push(sender);
        }
    }
    Ok(deletion)
}
