//! Resuming: a client that comes back says which message it saw last, and receives what it missed before what is live.
//!
//! What is missed is read and sent chunk by chunk, each when the socket has taken the one before. Once very little is
//! missing, the connection joins the room with its outbox held: from there on it receives what is live, and the rest is
//! sent ahead of that. The room knows the last message that such a connection does not receive, so there is neither a
//! gap nor a repetition.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use serde::Serialize;

use super::{Chat, ChatError, Member, deletion};
use ondol_host_model::{Message, RoomId, Seq, Speaker, frame};
use ondol_host_rooms::Outbox;
use ondol_host_store::{Page, StoreError};

/// How many messages are sent at once.
const CHUNK: usize = 200;

/// From how few missing messages on the connection joins the room: while they are written, what is live is held back.
const FEW: u64 = 16;

/// How many times a client that misses less than a chunk is sent it before it joins in any case.
const CHASES_MAX: usize = 5;

/// How long a message that is stored takes to be sent at the most, also by a host that reads it from the database.
const SENT_WITHIN_MS: u64 = 5_000;

/// How long it takes as a rule, if the room has its home on another host. Then what is missing is read from the database.
const USUALLY_SENT_WITHIN_MS: u64 = 200;

/// What a client that comes back knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSeen {
    /// The last message that it saw.
    pub after: Seq,
    /// The epoch of the database that numbered it, if the client says so.
    pub epoch: Option<String>,
}

/// A connection on its way from what its client knows to what is live.
pub struct Resumption {
    chat: Arc<Chat>,
    seen: LastSeen,
    /// The last message that it saw before.
    left_at: Seq,
    /// Whether the first frame is sent.
    begun: bool,
    chases: usize,
}

/// How far a step got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resumed {
    /// There is more, once the socket has taken this.
    Partly,
    /// The connection is in its room.
    Live,
}

/// The first frame.
#[derive(Serialize)]
struct Sync<'a> {
    r#type: &'static str,
    room: u64,
    epoch: &'a str,
    seq: u64,
    recovered: bool,
}

impl Chat {
    /// A connection of a client that comes back. It is not in the room before [`Resumption::step`] says so.
    ///
    /// # Errors
    ///
    /// [`ChatError::NotFound`], or the store's.
    pub async fn resume(
        self: &Arc<Self>,
        room: RoomId,
        user: Arc<Speaker>,
        outbox: Arc<Outbox>,
        seen: LastSeen,
    ) -> Result<(Member, Resumption), ChatError> {
        let member = Member::outside(&self.handlers, self.room_queue(room).await?, user, outbox);
        Ok((member, Resumption { chat: Arc::clone(self), left_at: seen.after, seen, begun: false, chases: 0 }))
    }
}

impl Resumption {
    /// Sends the next of what the client missed. Call it while nothing waits for the socket.
    ///
    /// # Errors
    ///
    /// The store's. The connection cannot go on without a gap: close it by [`Outbox::close_held`].
    pub async fn step(&mut self, member: &Member) -> Result<Resumed, ChatError> {
        let last = self.last(member).await?;
        let missed = last.0.checked_sub(self.seen.after.0);
        let mut frames = BytesMut::new();
        let goes_on = self.begun || self.is_recoverable(missed) && self.knows_deletions(member).await?;
        if !goes_on {
            let last = self.enter(member, last);
            self.sync(&mut frames, member, last, false);
            member.outbox().release(frames.freeze());
            return Ok(Resumed::Live);
        }
        let missed = missed.unwrap_or_default();
        if missed > FEW && (missed > CHUNK as u64 || self.chases < CHASES_MAX) {
            // In a busy room there is always something new.
            self.chases += usize::from(missed <= CHUNK as u64);
            if !self.begun {
                self.sync(&mut frames, member, last, true);
            }
            self.append(&mut frames, member, last).await?;
            member.outbox().release(frames.freeze());
            return Ok(Resumed::Partly);
        }
        let last = self.enter(member, last);
        if !self.begun {
            self.sync(&mut frames, member, last, true);
        }
        while self.seen.after < last {
            self.append(&mut frames, member, last).await?;
        }
        self.append_deletions(&mut frames, member).await?;
        member.outbox().release(frames.freeze());
        Ok(Resumed::Live)
    }

    /// The last message of the room. One that is stored may be read before it is sent: a client that has read it is not ahead
    /// of the room.
    async fn last(&self, member: &Member) -> Result<Seq, StoreError> {
        let mut last = member.last_sent().await?;
        if last < self.seen.after && self.seen.after <= self.chat.pipeline.store.last_seq(member.room()).await? {
            for waited in 0..SENT_WITHIN_MS {
                if waited == USUALLY_SENT_WITHIN_MS {
                    member.catch_up();
                }
                if last >= self.seen.after {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
                last = member.last_sent().await?;
            }
        }
        Ok(last)
    }

    fn is_recoverable(&self, missed: Option<u64>) -> bool {
        let chat = &self.chat.pipeline;
        self.seen.epoch.as_deref().is_none_or(|epoch| epoch == chat.store.epoch())
            && missed.is_some_and(|missed| missed <= chat.limits.resume_messages_max as u64)
    }

    /// Joins the room, and holds back what it receives from there. Returns the last message before that.
    fn enter(&self, member: &Member, last: Seq) -> Seq {
        member.outbox().hold();
        // A room whose last message was asked for knows it from then on.
        member.enter().unwrap_or(last)
    }

    fn sync(&mut self, frames: &mut BytesMut, member: &Member, seq: Seq, recovered: bool) {
        self.begun = true;
        let epoch = self.chat.pipeline.store.epoch();
        let sync = Sync { r#type: "chat.sync", room: member.room().0, epoch, seq: seq.0, recovered };
        frame::text(frames, &serde_json::to_string(&sync).unwrap_or_default());
    }

    /// Appends the events of messages after the last one seen, up to `last`.
    async fn append(&mut self, frames: &mut BytesMut, member: &Member, last: Seq) -> Result<(), ChatError> {
        let (page, room) = (Page::After(self.seen.after), member.room());
        let mut missed = self.chat.pipeline.store.messages(room, page, CHUNK).await?;
        missed.retain(|message| message.seq <= last);
        self.seen.after = missed.last().map_or(last, |message| message.seq);
        for event in self.events(room, missed).await? {
            frame::text(frames, &event);
        }
        Ok(())
    }

    /// Whether it can be told of all messages that were deleted meanwhile.
    async fn knows_deletions(&self, member: &Member) -> Result<bool, StoreError> {
        let max = self.chat.pipeline.limits.resume_messages_max;
        let deleted = self.chat.pipeline.store.deletions(member.room(), self.left_at, self.left_at, max + 1).await?;
        Ok(deleted.len() <= max)
    }

    /// Appends the events of deletions, once the connection is in the room and hears of later ones: of messages that the client
    /// had, and of those sent before.
    async fn append_deletions(&self, frames: &mut BytesMut, member: &Member) -> Result<(), ChatError> {
        // [`Self::knows_deletions`] has bounded those that it knew, and what it missed is bounded: none may be left out.
        let room = member.room();
        for deleted in self.chat.pipeline.store.deletions(room, self.left_at, self.seen.after, usize::MAX).await? {
            frame::text(frames, &deletion::event(room, deleted));
        }
        Ok(())
    }

    async fn events(&self, room: RoomId, missed: Vec<Message>) -> Result<Vec<String>, ChatError> {
        if missed.is_empty() {
            return Ok(Vec::new());
        }
        let release = self.chat.handlers.for_room(room);
        self.chat.history.replay(release, missed).await
    }
}
