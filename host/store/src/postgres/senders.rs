//! Senders as they were when they said something: one row for as long as name, address and picture stay the same. A
//! message names its sender by the number of that row.

use tokio_postgres::{Client, Error};

use super::remembered::Remembered;
use ondol_host_model::{Speaker, UserKey};

/// The rows of recent senders.
#[derive(Default)]
pub(super) struct SenderRows(pub(super) Remembered<UserKey, i64>);

impl SenderRows {
    /// The row of a sender.
    pub(super) fn get(&self, sender: &Speaker) -> Option<i64> {
        self.0.get(&sender.key())
    }

    /// Remembers rows.
    pub(super) fn remember(&mut self, rows: impl IntoIterator<Item = (UserKey, i64)>) {
        self.0.extend(rows);
    }

    /// Forgets them all if there are too many.
    pub(super) fn make_room(&mut self) {
        self.0.make_room();
    }

    /// Forgets them all.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Finds the rows of senders, and inserts those that there are not.
pub(super) async fn find_or_insert(client: &Client, senders: &[&Speaker]) -> Result<Vec<(UserKey, i64)>, Error> {
    const INSERT: &str = "INSERT INTO sender (usr, nickname, email, profile_url) \
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
        ON CONFLICT (usr, digest) WHERE NOT retired DO NOTHING";
    const FIND: &str = "SELECT u.place, s.n \
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY u (usr, nickname, email, profile_url, place) \
        JOIN sender s ON s.usr = u.usr AND s.digest = sender_digest(u.nickname, u.email, u.profile_url) AND NOT s.retired \
        WHERE s.nickname = u.nickname AND s.email = u.email AND s.profile_url IS NOT DISTINCT FROM u.profile_url";
    let users: Vec<&str> = senders.iter().map(|sender| sender.id.as_str()).collect();
    let nicknames: Vec<&str> = senders.iter().map(|sender| sender.nickname.as_str()).collect();
    let emails: Vec<&str> = senders.iter().map(|sender| sender.email.as_str()).collect();
    let pictures: Vec<Option<&str>> = senders.iter().map(|sender| sender.profile_url.as_deref()).collect();
    client.execute(INSERT, &[&users, &nicknames, &emails, &pictures]).await?;
    let rows = client.query(FIND, &[&users, &nicknames, &emails, &pictures]).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let place = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default();
        if let Some(sender) = senders.get(place.wrapping_sub(1)) {
            found.push((sender.key(), row.try_get(1)?));
        }
    }
    Ok(found)
}
