//! What becomes of each message of a batch. A batch is stored whole or not at all, so one that PostgreSQL rejects is
//! sent again in parts, down to the message that cannot be stored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::{Client, Error};

use super::answers::{describe, is_out_of_turn, is_repeated};
use super::call::{Call, Columns};
use super::rooms::{Heads, claim, heads};
use super::senders::{SenderRows, find_or_insert};
use super::writer::{Refused, Writer};
use crate::error::StoreError;
use ondol_host_model::{Message, RoomId, Seq, Speaker};

/// The highest `seq`, as in SQLite.
const SEQ_MAX: Seq = Seq(u32::MAX as u64);

/// How often the senders of a batch are looked up because one is about to be removed.
const SENDER_LOOKUPS_MAX: usize = 5;

/// Stores batches.
pub(super) struct BatchWriter {
    pub(super) writer: Writer,
    pub(super) heads: Arc<Heads>,
    pub(super) senders: SenderRows,
    /// A room that was not claimed is claimed with its first batch. Not beside other hosts: the ids of the batch may be below
    /// those of the room's last home.
    is_claiming: bool,
}

/// A batch on its way: its messages, and why some are not stored.
struct Batch<'a> {
    messages: &'a [&'a Message],
    errors: HashMap<usize, StoreError>,
}

/// Why a part of a batch was not stored.
enum PartRefused {
    /// PostgreSQL rejects it, as one of these messages cannot be stored.
    Content(Vec<usize>),
    Failed(StoreError),
}

impl From<Refused> for PartRefused {
    fn from(refused: Refused) -> Self {
        Self::Failed(refused.into())
    }
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Content(error) => error.into(),
            Refused::Doubtful(reason) => {
                Self::Postgres(format!("the connection was lost each time this was sent: {reason}"))
            }
            Refused::SenderRetired => Self::Postgres(format!(
                "the rows of its senders were removed {SENDER_LOOKUPS_MAX} times while it was stored"
            )),
            Refused::Failed(error) => error,
        }
    }
}

impl BatchWriter {
    pub(super) fn new(writer: Writer, heads: Arc<Heads>, is_claiming: bool) -> Self {
        Self { writer, heads, senders: SenderRows::default(), is_claiming }
    }

    /// Stores messages. Returns why some are not stored, by their index.
    pub(super) async fn store(&mut self, messages: &[&Message]) -> HashMap<usize, StoreError> {
        let mut batch = Batch { messages, errors: HashMap::new() };
        let mut parts: Vec<Vec<usize>> = vec![(0..messages.len()).collect()];
        while let Some(part) = parts.pop() {
            match self.store_part(&mut batch, &part).await {
                Ok(()) => {}
                Err(PartRefused::Content(rejected)) => parts.extend(batch.parts(&rejected).into_iter().rev()),
                Err(PartRefused::Failed(error)) => {
                    // What was not sent is not in doubt.
                    let rest = if matches!(error, StoreError::InDoubt) { StoreError::Closed } else { error.clone() };
                    batch.fail(&part, |_| Some(error.clone()));
                    batch.fail(&parts.concat(), |_| Some(rest.clone()));
                    break;
                }
            }
        }
        batch.errors
    }

    /// Claims rooms that are not known, unless other hosts use the database, and reads the heads of others again, if what is
    /// known of them may be wrong.
    async fn learn(&mut self, rooms: &[RoomId]) -> Result<HashMap<RoomId, StoreError>, Refused> {
        let (no, is_claiming) = (self.writer.host.no, self.is_claiming);
        let learn = |client: Arc<Client>| async move {
            if is_claiming { claim(&client, no, rooms).await } else { heads(&client, no, rooms).await }
        };
        let found = self.writer.ask(learn).await?;
        let mut errors: HashMap<_, _> = rooms.iter().map(|room| (*room, StoreError::NoRoom)).collect();
        for claimed in found {
            errors.remove(&claimed.room);
            if claimed.home != Some(no) {
                self.heads.forget([claimed.room]);
                errors.insert(claimed.room, StoreError::HomeElsewhere);
            } else if self.heads.get(claimed.room).is_some_and(|known| known > claimed.last_seq) {
                return Err(Refused::Failed(self.writer.gone_back().await));
            } else {
                self.heads.set([(claimed.room, claimed.last_seq)]);
            }
        }
        Ok(errors)
    }

    /// Stores those of some messages that can be stored as far as is known.
    async fn store_part(&mut self, batch: &mut Batch<'_>, part: &[usize]) -> Result<(), PartRefused> {
        self.heads.make_room();
        let doubtful = batch.rooms_to_learn(part, &self.heads);
        if !doubtful.is_empty() {
            let unusable = self.learn(&doubtful).await?;
            batch.fail(part, |message| unusable.get(&message.room).cloned());
        }
        let accepted = batch.accept(part, &self.heads);
        for _ in 0..SENDER_LOOKUPS_MAX {
            self.resolve(batch, &accepted).await?;
            let accepted = batch.accept(&accepted, &self.heads);
            let row = |index: &usize| {
                let message = *batch.messages.get(*index)?;
                Some((message, self.senders.get(&message.sender)?))
            };
            let rows: Vec<(&Message, i64)> = accepted.iter().filter_map(row).collect();
            if rows.is_empty() {
                return Ok(());
            }
            let columns = Columns::of(&rows);
            let heads: Vec<_> = columns.heads().collect();
            match self.writer.store(&Call::Commit(Box::new(columns))).await {
                Ok(()) => {
                    self.heads.set(heads);
                    return Ok(());
                }
                Err(Refused::SenderRetired) => self.senders.forget(),
                Err(refused @ Refused::Doubtful(_)) => return batch.doubtful(accepted, refused.into()),
                Err(Refused::Content(error)) => return self.rejected(batch, accepted, &error).await,
                Err(Refused::Failed(error)) => return Err(PartRefused::Failed(error)),
            }
        }
        Err(Refused::SenderRetired.into())
    }

    /// Finds out what is wrong with a part that was rejected.
    async fn rejected(&mut self, batch: &mut Batch<'_>, part: Vec<usize>, error: &Error) -> Result<(), PartRefused> {
        let rooms = batch.rooms(&part);
        let unusable = self.learn(&rooms).await?;
        batch.fail(&part, |message| unusable.get(&message.room).cloned());
        let [index] = part.as_slice() else { return Err(PartRefused::Content(part)) };
        let reason = if is_repeated(error) {
            StoreError::Repeated
        } else if is_out_of_turn(error) {
            StoreError::OutOfTurn
        } else {
            let error = describe(error);
            tracing::error!(error, "a message was not stored: {error}");
            StoreError::Postgres(error)
        };
        batch.errors.entry(*index).or_insert(reason);
        Ok(())
    }

    /// Finds the rows of the senders. Messages whose sender has none fail.
    async fn resolve(&mut self, batch: &mut Batch<'_>, part: &[usize]) -> Result<(), Refused> {
        self.senders.make_room();
        let mut seen = HashSet::new();
        let of = |index: &usize| batch.messages.get(*index).map(|message| &*message.sender);
        let is_unknown = |sender: &&Speaker| self.senders.get(sender).is_none() && seen.insert(sender.key());
        let unknown: Vec<&Speaker> = part.iter().filter_map(of).filter(is_unknown).collect();
        let unknown = unknown.as_slice();
        if unknown.is_empty() {
            return Ok(());
        }
        match self.writer.ask(|client| async move { find_or_insert(&client, unknown).await }).await {
            Ok(rows) => self.senders.remember(rows),
            Err(Refused::Content(_)) => {
                for sender in unknown {
                    match self.writer.ask(|client| async move { find_or_insert(&client, &[*sender]).await }).await {
                        Ok(rows) => self.senders.remember(rows),
                        Err(Refused::Content(error)) => {
                            let error = describe(&error);
                            tracing::error!(error, "a sender was not stored: {error}");
                        }
                        Err(refused) => return Err(refused),
                    }
                }
            }
            Err(refused) => return Err(refused),
        }
        let senders = &self.senders;
        let missing = StoreError::Postgres("the database cannot hold the sender".to_owned());
        batch.fail(part, |message| senders.get(&message.sender).is_none().then(|| missing.clone()));
        Ok(())
    }
}

impl Batch<'_> {
    fn message(&self, index: usize) -> Option<&Message> {
        self.messages.get(index).copied()
    }

    /// Fails messages that have a reason to.
    fn fail(&mut self, part: &[usize], reason: impl Fn(&Message) -> Option<StoreError>) {
        for index in part {
            if let Some(error) = self.message(*index).and_then(&reason) {
                self.errors.entry(*index).or_insert(error);
            }
        }
    }

    /// A part that is not stored, and may be the reason why connections were lost: it is sent in smaller parts, or given up.
    fn doubtful(&mut self, part: Vec<usize>, error: StoreError) -> Result<(), PartRefused> {
        let [index] = part.as_slice() else { return Err(PartRefused::Content(part)) };
        tracing::error!(%error, "a message was not stored: {error}");
        self.errors.entry(*index).or_insert(error);
        Ok(())
    }

    /// The rooms of some messages, in the order in which they come.
    fn rooms(&self, part: &[usize]) -> Vec<RoomId> {
        let mut seen = HashSet::new();
        let rooms = part.iter().filter_map(|index| Some(self.message(*index)?.room));
        rooms.filter(|room| seen.insert(*room)).collect()
    }

    /// The rooms whose first message does not follow what is known to be their last.
    fn rooms_to_learn(&self, part: &[usize], heads: &Heads) -> Vec<RoomId> {
        let mut seen = HashSet::new();
        let messages = part.iter().filter_map(|index| self.message(*index));
        let firsts = messages.filter(|message| seen.insert(message.room));
        let is_unsure = |message: &&Message| heads.get(message.room).map(Seq::next) != Some(message.seq);
        firsts.filter(is_unsure).map(|message| message.room).collect()
    }

    /// Those messages that follow the last one of their room, as far as is known. The others fail.
    fn accept(&mut self, part: &[usize], heads: &Heads) -> Vec<usize> {
        let (mut last_seqs, mut client_ids) = (HashMap::new(), HashSet::new());
        let mut accepted = Vec::with_capacity(part.len());
        for index in part {
            let Some(message) = self.messages.get(*index).copied() else { continue };
            if self.errors.contains_key(index) {
                continue;
            }
            let last = last_seqs.entry(message.room).or_insert_with(|| heads.get(message.room).unwrap_or(Seq(0)));
            let client_id = message.draft.client_id.as_deref().map(|id| (message.room, message.sender.id.as_str(), id));
            let error = if message.seq != last.next() {
                StoreError::OutOfTurn
            } else if message.seq > SEQ_MAX {
                StoreError::Full
            } else if has_nul(message) {
                StoreError::Postgres("a text of the message holds U+0000".to_owned())
            } else if client_id.is_some_and(|key| !client_ids.insert(key)) {
                StoreError::Repeated
            } else {
                *last = message.seq;
                accepted.push(*index);
                continue;
            };
            self.errors.insert(*index, error);
        }
        accepted
    }

    /// A part that was rejected, in smaller ones: by rooms, or in halves. In a room, earlier messages come first.
    fn parts(&self, part: &[usize]) -> Vec<Vec<usize>> {
        let mut rooms: Vec<(RoomId, Vec<usize>)> =
            self.rooms(part).into_iter().map(|room| (room, Vec::new())).collect();
        let [_, _, ..] = rooms.as_slice() else {
            let (first, second) = part.split_at(part.len() / 2);
            return [first, second].into_iter().filter(|half| !half.is_empty()).map(<[usize]>::to_vec).collect();
        };
        let places: HashMap<RoomId, usize> =
            rooms.iter().enumerate().map(|(place, (room, _))| (*room, place)).collect();
        for index in part {
            let place = self.message(*index).and_then(|message| places.get(&message.room));
            if let Some((_, of_room)) = place.and_then(|place| rooms.get_mut(*place)) {
                of_room.push(*index);
            }
        }
        rooms.into_iter().map(|(_, of_room)| of_room).collect()
    }
}

/// Whether a text holds the one character that PostgreSQL's do not.
fn has_nul(message: &Message) -> bool {
    let (draft, sender) = (&message.draft, &*message.sender);
    let optional = [&draft.client_id, &draft.extra, &sender.profile_url].into_iter().flatten();
    let mut texts = [&draft.text, &sender.id, &sender.nickname, &sender.email].into_iter().chain(optional);
    texts.any(|text| text.as_bytes().contains(&0))
}
