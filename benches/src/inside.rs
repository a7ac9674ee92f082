//! The server's own parts, called in this process: the handlers in their sandbox and natively, and the store. Knows no
//! sockets and takes no times. For `wasm`, `share` and the microbenchmarks.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use ondol::config::Limits;
use ondol_events::payload;
use ondol_events::senders::Senders;
use ondol_host_handlers::{Candidate, HandlerKind, Handlers, How, Ledger, Release, Sandbox, Source, Why};
use ondol_host_model::{
    Action, Draft, Frame, Message, MessageId, RoomDraft, RoomId, Seq, Speaker, Standing, Timestamp, User,
};
use ondol_host_store::Synchronous;
use ondol_host_store::{Entry, RoomOutcome, Store};
use ondol_messages::frame;

/// Bytes of every text, as of those that the crowds say.
const TEXT_BYTES: usize = 100;

/// A moment that is written out in the same length as the present.
const NOW: Timestamp = Timestamp(1_769_851_800_125);

/// The handlers of a directory, as a server has them.
pub(crate) fn handlers(directory: &Path, limits: &Limits) -> anyhow::Result<Handlers> {
    let sandbox = Arc::new(Sandbox::new(&limits.handlers(), None)?);
    let mut candidate = Candidate::default();
    for handler in HandlerKind::ALL {
        let wasm = std::fs::read(directory.join(handler.file_name())).context("the handlers cannot be read")?;
        candidate.prove(&sandbox, Source { handler, wasm, settings: Arc::default(), cases: None })?;
    }
    let why =
        Why { who: "the benchmark".to_owned(), how: How::First, why: String::new(), back_to: None, forced: false };
    // Nothing is kept of what is only measured.
    let ledger = Ledger { record: Box::new(|_| Ok(1)), mark: Box::new(|_, _| Ok(())) };
    Ok(Handlers::begin(sandbox, ledger, &candidate, &why, HashMap::new())?)
}

/// Somebody who says the same thing again and again.
pub(crate) struct Parrot {
    sender: Arc<Speaker>,
    frame: String,
    said: u64,
    /// What is kept of senders natively, as each instance of the component keeps it.
    senders: Senders,
}

impl Parrot {
    pub(crate) fn new() -> Self {
        let sender = Arc::new(Speaker::new(User {
            id: "1-0".to_owned(),
            nickname: "n1-0".to_owned(),
            email: "1-0@example.com".to_owned(),
            profile_url: None,
        }));
        let text = "x".repeat(TEXT_BYTES);
        let frame = format!(r#"{{"type":"chat.message","message":"{text}"}}"#);
        Self { sender, frame, said: 0, senders: Senders::new() }
    }

    /// What a message is asked of the components: from a client's frame to the event, the two calls that each message
    /// makes.
    pub(crate) fn through_sandbox(&mut self, handlers: &Handlers) -> anyhow::Result<String> {
        let release = handlers.current();
        let draft = self.receive(&release)?;
        Ok(release.message(&self.message(RoomId(1), draft))?)
    }

    /// The first of the two calls: what becomes of the frame.
    pub(crate) fn receive(&self, release: &Release) -> anyhow::Result<Draft> {
        match release.receive(&self.sender, RoomId(1), Frame::Text(&self.frame))? {
            Ok(Action::Post(draft)) => Ok(draft),
            other => bail!("the messages handler answers {other:?}"),
        }
    }

    /// The same, by the same functions, linked into this process.
    pub(crate) fn natively(&mut self) -> anyhow::Result<String> {
        let text = std::hint::black_box(self.frame.as_str());
        let draft = match frame::read(&frame::Limits::default(), &frame::Frame::Text(text)) {
            Ok(frame::Draft { text, client_id, parent }) => {
                Draft { text, client_id, parent: parent.map(MessageId), extra: None }
            }
            Err(refusal) => bail!("the messages handler answers {refusal:?}"),
        };
        let message = self.message(RoomId(1), draft);
        let Message { id, room, seq, sender, draft, created_at } = &message;
        let write = || payload::sender(&sender.email, &sender.nickname, sender.profile_url.as_deref());
        Ok(payload::message(&payload::Message {
            id: id.0,
            room: room.0,
            seq: seq.0,
            sender: self.senders.get_or_write(sender.key().0, write),
            text: &draft.text,
            client_id: draft.client_id.as_deref(),
            parent: draft.parent.map(|parent| parent.0),
            extra: draft.extra.as_deref(),
            created_at: created_at.0,
        }))
    }

    /// The next message, with the text that [`Parrot::new`] chose.
    pub(crate) fn nth(&mut self, room: RoomId, seq: Seq) -> Message {
        let draft = Draft { text: "x".repeat(TEXT_BYTES), ..Draft::default() };
        Message { seq, ..self.message(room, draft) }
    }

    fn message(&mut self, room: RoomId, draft: Draft) -> Message {
        self.said += 1;
        let (id, seq) = (MessageId(self.said), Seq(self.said));
        Message { id, room, seq, sender: Arc::clone(&self.sender), draft, created_at: NOW }
    }
}

/// A store of its own, in whose rooms one user says the same in turn and commits.
pub(crate) struct Disk {
    store: Store<()>,
    rooms: Vec<RoomId>,
    parrot: Parrot,
}

impl Disk {
    /// A new database with so many rooms. A server that is started on it goes on where this has ended.
    pub(crate) fn create(directory: &Path, synchronous: Synchronous, rooms: usize) -> anyhow::Result<Self> {
        let store = Store::open(&directory.join("ondol.db"), synchronous, &Limits::default().store())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let created = (0..rooms).map(|_| {
            let draft = RoomDraft { name: "benchmark".to_owned(), standing: Standing::Reuse };
            let (RoomOutcome::Created(room) | RoomOutcome::Standing(room)) =
                runtime.block_on(store.create_room(draft, None, None))?;
            Ok(room.id)
        });
        let rooms = created.collect::<anyhow::Result<_>>()?;
        Ok(Self { store, rooms, parrot: Parrot::new() })
    }

    /// Hands so many messages to the store and commits them in one transaction.
    pub(crate) fn commit(&mut self, messages: usize) -> anyhow::Result<()> {
        for _ in 0..messages {
            let said = usize::try_from(self.parrot.said)?;
            let room = *self.rooms.get(said % self.rooms.len()).context("no room")?;
            let seq = Seq((said / self.rooms.len()) as u64 + 1);
            let entry = Entry { message: Some(self.parrot.nth(room, seq)), then: () };
            // This is the only one who appends, so the turn is always ours.
            let _ = self.store.append(entry).map_err(|failed| failed.error)?;
        }
        let mut stored = 0;
        let _ = self.store.commit(|batch| stored = batch.stored.len());
        ensure!(stored == messages, "{stored} of {messages} messages were stored");
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Without it the next server leaves out some ids.
        let _ = self.store.keep_next_id(MessageId(self.parrot.said + 1));
    }
}
