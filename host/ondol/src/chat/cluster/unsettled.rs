//! A frame or request that was sent to a room's home, until it is known what became of it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::record::{Asked, Outcome, Person, Sent};
use crate::chat::history::Shown;
use crate::chat::reply::{Reply, SayError, send};
use crate::chat::room_queue::RoomQueue;
use crate::chat::say::client_id;
use crate::config::HistoryForm;
use ondol_host_handlers::Release;
use ondol_host_model::{MessageId, RequestId, Seq, Speaker};
use ondol_host_rooms::{InFlight, Outbox};
use ondol_host_store::{Deleted, Deletion, Page, StoreError};

/// Who waits for what becomes of a deletion.
pub(in crate::chat) type DeletionAnswer = oneshot::Sender<Result<Deletion, StoreError>>;

/// A frame or request.
pub(super) struct Unsettled {
    /// Its name in the cluster.
    pub(super) origin: i64,
    /// The last message of the room when it came: if it is stored, then after that.
    pub(super) after: Seq,
    /// Something that its connection said later is stored. So it was handled, and may not be handled again: it would come after that.
    pub(super) is_overtaken: bool,
    /// When it came.
    pub(super) came: Instant,
    /// It was handed to a home, which may have stored it.
    pub(super) is_sent: bool,
    pub(super) what: What,
}

pub(super) enum What {
    Said { user: Arc<Speaker>, sent: Sent, reply: Reply, in_flight: InFlight },
    Delete { seqs: Vec<Seq>, answer: DeletionAnswer },
}

impl Unsettled {
    pub(super) fn said(
        origin: i64,
        user: Arc<Speaker>,
        sent: Sent,
        reply: Reply,
        in_flight: InFlight,
        after: Seq,
    ) -> Self {
        Self::new(origin, after, What::Said { user, sent, reply, in_flight })
    }

    pub(super) fn deletion(origin: i64, seqs: Vec<Seq>, answer: DeletionAnswer) -> Self {
        // Nothing is stored of it.
        Self::new(origin, Seq(u64::MAX), What::Delete { seqs, answer })
    }

    fn new(origin: i64, after: Seq, what: What) -> Self {
        Self { origin, after, is_overtaken: false, came: Instant::now(), is_sent: false, what }
    }

    /// What the home is asked.
    pub(super) fn asked(&self) -> (Asked, &[u8]) {
        let origin = self.origin;
        match &self.what {
            What::Said { user, sent: Sent::Body(body), reply, .. } => {
                let (user, request) = (Person::from(&***user), reply.request.to_string());
                (Asked::Post { user, origin, request }, body.as_bytes())
            }
            What::Said { sent, reply, .. } => {
                let connection = reply.outbox().map_or(0, |outbox| outbox.id);
                let binary = matches!(sent, Sent::Binary(_));
                (Asked::Frame { connection, origin, binary }, sent.bytes())
            }
            What::Delete { seqs, .. } => (Asked::Delete { origin, seqs: seqs.iter().map(|seq| seq.0).collect() }, &[]),
        }
    }

    /// The number of the connection that sent it, if it is one.
    pub(super) fn connection(&self) -> Option<u64> {
        self.outbox().map(|outbox| outbox.id)
    }

    /// The connection that sent it, if it is one.
    pub(super) fn outbox(&self) -> Option<&Arc<Outbox>> {
        match &self.what {
            What::Said { reply, .. } => reply.outbox(),
            What::Delete { .. } => None,
        }
    }

    /// Its message is stored, and a connection hears of it with its room. Returns what counts it until then.
    pub(super) fn stored(self, room: &Arc<RoomQueue>, seq: Seq) -> Option<InFlight> {
        let What::Said { reply, in_flight, .. } = self.what else { return None };
        if reply.outbox().is_none() {
            let room = Arc::clone(room);
            tokio::spawn(async move { answer_stored(&room, reply, seq).await });
        }
        Some(in_flight)
    }

    /// The home has answered.
    pub(super) fn end(self, room: &Arc<RoomQueue>, outcome: Outcome, body: &[u8]) {
        let text = std::str::from_utf8(body).unwrap_or_default();
        match (self.what, outcome) {
            (What::Said { reply, in_flight, .. }, Outcome::Repeated { seq }) => {
                match reply.outbox() {
                    // It never comes ahead of an earlier message.
                    Some(outbox) => room.members.answer(outbox, text, Seq(seq), in_flight),
                    None => drop(tokio::spawn(answer_repeated(Arc::clone(room), reply, Seq(seq)))),
                }
            }
            (What::Said { reply, .. }, Outcome::Stored { seq }) => {
                if reply.outbox().is_none() {
                    drop(tokio::spawn(answer_repeated(Arc::clone(room), reply, Seq(seq))));
                }
            }
            (What::Said { reply, .. }, Outcome::Event) => {
                if let Some(outbox) = reply.outbox() {
                    send(outbox, text);
                }
            }
            (What::Said { reply, .. }, Outcome::Done) => reply.done(),
            (What::Said { reply, .. }, Outcome::Failed { failure, client_id, pause_ms }) => {
                reply.pause(pause_ms);
                reply.failed(failure.into(), client_id.as_deref());
            }
            (What::Delete { answer, .. }, Outcome::Deleted { messages, senders }) => {
                let deleted = |[seq, id]: [u64; 2]| Deleted { seq: Seq(seq), id: MessageId(id) };
                let messages = messages.into_iter().map(deleted).collect();
                let _ = answer.send(Ok(Deletion { messages, senders }));
            }
            (What::Delete { answer, .. }, _) => drop(answer.send(Err(StoreError::HomeElsewhere))),
            (What::Said { reply, .. }, Outcome::Deleted { .. }) => reply.failed(SayError::NotStored, None),
        }
    }

    /// It comes to nothing, as far as is known here.
    pub(super) fn fail(self, error: SayError) {
        match self.what {
            What::Said { reply, sent, .. } => reply.failed(error, client_id(sent.as_frame()).as_deref()),
            What::Delete { answer, .. } => drop(answer.send(Err(StoreError::HomeElsewhere))),
        }
    }

    /// It waits no longer. What no home was handed is not stored.
    pub(super) fn give_up(self) {
        let error = if self.is_sent { SayError::Unknown } else { SayError::Unreachable };
        self.fail(error);
    }
}

async fn answer_repeated(room: Arc<RoomQueue>, reply: Reply, seq: Seq) {
    answer_stored(&room, reply, seq).await;
}

/// Answers a request with its message, as it is stored.
async fn answer_stored(room: &RoomQueue, reply: Reply, seq: Seq) {
    let page = Page::After(Seq(seq.0.saturating_sub(1)));
    let found = room.pipeline.store.messages(room.id, page, 1).await;
    let message = match found.map(|messages| messages.into_iter().find(|message| message.seq == seq)) {
        Ok(Some(message)) => message,
        // It is stored, or was.
        Ok(None) | Err(_) => return reply.failed(SayError::Unknown, None),
    };
    let Some(link) = &room.link else { return reply.failed(SayError::Unknown, None) };
    match link.hosts.form() {
        HistoryForm::Host => reply.shown(Shown::Message(message)),
        HistoryForm::Events => {
            let (release, request) = (link.hosts.release_for(room.id), reply.request.clone());
            match event(&release, &request, &message) {
                Some(event) => reply.shown(Shown::event(event)),
                None => reply.failed(SayError::HandlerFault, message.draft.client_id.as_deref()),
            }
        }
    }
}

fn event(release: &Release, request: &RequestId, message: &ondol_host_model::Message) -> Option<String> {
    release.message(Some(request), message).ok()
}
