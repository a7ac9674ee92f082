//! Two versions of a handler asked what stored rooms and messages ask again: what would have changed? Knows the model and
//! the sandbox, and nothing of where things are stored.
//!
//! What is stored is not all that was asked. A text was trimmed before, a refused frame is not there at all, and of who
//! created a room only the id is known, which stands for the nickname and the e-mail address here.

mod change;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

pub use change::Change;

use super::candidate::Source;
use super::fault::Fault;
use super::kind::{HandlerKind, VersionId};
use super::load::{LoadError, Loaded, load};
use super::output::one_line;
use super::sandbox::Sandbox;
use ondol_host_model::{
    Action, Draft, Frame, Message, OnExistingRoom, Refusal, Room, RoomDraft, RoomId, RoomRequest, Speaker, User,
};

/// Two versions of one handler, asked side by side.
pub struct Replay {
    before: Side,
    after: Side,
    asked: u64,
}

/// One of the two versions.
pub struct Side {
    loaded: Loaded,
    handler: HandlerKind,
    version: VersionId,
}

/// What both came to.
#[derive(Debug)]
pub struct Compared {
    /// The standing version.
    pub before: Replied,
    /// The candidate.
    pub after: Replied,
}

/// What one version came to.
#[derive(Debug)]
pub struct Replied {
    /// Its answer, a refusal being one; or how it failed.
    pub answer: Result<Answer, Fault>,
    /// How long the call took, its checks included.
    pub took: Duration,
}

/// An answer of whichever handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Of `rooms`.
    Room(RoomDraft),
    /// Of `messages`.
    Action(Action),
    /// Of either, in its place.
    Refusal(Refusal),
    /// Of `events`.
    Payload(String),
}

/// What a stored thing asks again.
enum Question<'a> {
    Create(RoomRequest, Option<User>),
    Receive(&'a Arc<Speaker>, RoomId, String),
    Message(&'a Message),
}

impl Sandbox {
    /// The handlers whose worlds these bytes fit. None: every reason of each world is in [`Sandbox::inspect`].
    ///
    /// # Errors
    ///
    /// When they are no component, or do not compile.
    pub fn fits(&self, bytes: &[u8]) -> Result<Vec<HandlerKind>, LoadError> {
        let report = self.inspect(bytes)?;
        let fits = HandlerKind::ALL.into_iter().zip(report.worlds).filter(|(_, fit)| fit.misfits.is_empty());
        Ok(fits.map(|(handler, _)| handler).collect())
    }
}

impl Side {
    /// Brings a version through the gate, as a deploy would.
    ///
    /// # Errors
    ///
    /// Every reason of the gate's step that stopped it.
    pub fn load(sandbox: &Arc<Sandbox>, source: &Source) -> Result<Self, LoadError> {
        let loaded = load(sandbox, source.handler, &source.wasm, &source.settings, None)?;
        Ok(Self { loaded, handler: source.handler, version: source.version() })
    }

    /// Whose version it is.
    #[must_use]
    pub fn handler(&self) -> HandlerKind {
        self.handler
    }

    /// Its name.
    #[must_use]
    pub fn version(&self) -> VersionId {
        self.version
    }

    /// Asks once more where the call was slow: a machine that is busy makes one look so that is not, and a replay is asked
    /// what the handler does, not what the machine does. None: the question is another handler's.
    fn ask(&self, question: &Question<'_>) -> Option<Replied> {
        let replied = self.ask_once(question)?;
        match &replied.answer {
            Err(fault) if fault.cause.was_slow() => self.ask_once(question),
            _ => Some(replied),
        }
    }

    fn ask_once(&self, question: &Question<'_>) -> Option<Replied> {
        let started = Instant::now();
        let answer = match (&self.loaded, question) {
            (Loaded::Rooms(rooms), Question::Create(request, creator)) => {
                rooms.create(request, creator.as_ref()).map(|answer| answer.map_or_else(Answer::Refusal, Answer::Room))
            }
            (Loaded::Messages(messages), Question::Receive(sender, room, frame)) => {
                let answer = messages.receive(sender, *room, Frame::Text(frame));
                answer.map(|answer| answer.map_or_else(Answer::Refusal, Answer::Action))
            }
            (Loaded::Events(events), Question::Message(message)) => events.message(message).map(Answer::Payload),
            _ => return None,
        };
        Some(Replied { answer, took: started.elapsed() })
    }
}

impl Replay {
    /// Two versions of the same handler; of two handlers' nothing can be asked.
    #[must_use]
    pub fn new(before: Side, after: Side) -> Self {
        Self { before, after, asked: 0 }
    }

    /// The standing version.
    #[must_use]
    pub fn before(&self) -> &Side {
        &self.before
    }

    /// The candidate.
    #[must_use]
    pub fn after(&self) -> &Side {
        &self.after
    }

    /// Asks `events` for a stored message's event, or `messages` what becomes of the frame that a client would have sent
    /// for it. None: a message asks nothing of `rooms`.
    pub fn message(&mut self, message: &Message) -> Option<Compared> {
        match self.after.handler {
            HandlerKind::Rooms => None,
            HandlerKind::Messages => self.ask(&Question::Receive(&message.sender, message.room, frame(&message.draft))),
            HandlerKind::Events => self.ask(&Question::Message(message)),
        }
    }

    /// Asks `rooms` what is to be made of the request for a stored room. None for the other two.
    pub fn room(&mut self, room: &Room) -> Option<Compared> {
        let request = RoomRequest { name: Some(room.name.clone()), post_id: room.post_id };
        let creator = room.owner.as_ref().map(|owner| User {
            id: owner.clone(),
            nickname: owner.clone(),
            email: owner.clone(),
            profile_url: None,
        });
        self.ask(&Question::Create(request, creator))
    }

    /// Asks both, and each as often first: who comes second finds the question in the processor's caches.
    fn ask(&mut self, question: &Question<'_>) -> Option<Compared> {
        self.asked += 1;
        if self.asked % 2 == 1 {
            let before = self.before.ask(question)?;
            Some(Compared { before, after: self.after.ask(question)? })
        } else {
            let after = self.after.ask(question)?;
            Some(Compared { before: self.before.ask(question)?, after })
        }
    }
}

/// The frame that a client would have sent for a message.
fn frame(draft: &Draft) -> String {
    let mut frame = json!({ "type": "chat.message", "message": draft.text });
    if let Some(fields) = frame.as_object_mut() {
        fields.extend(draft.client_id.clone().map(|id| ("client_id".to_owned(), id.into())));
        fields.extend(draft.parent.map(|parent| ("parent".to_owned(), parent.0.into())));
    }
    frame.to_string()
}

impl Compared {
    /// Whether both gave the same answer. A fault is none, whoever else failed.
    #[must_use]
    pub fn same(&self) -> bool {
        matches!((&self.before.answer, &self.after.answer), (Ok(before), Ok(after)) if before == after)
    }

    /// Where the two answers part, each place with no more around it than it takes to find it. None where one failed.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let (Ok(before), Ok(after)) = (&self.before.answer, &self.after.answer) else { return Vec::new() };
        let changes = match (before.words(), after.words()) {
            // An action of another sort says nothing of the message.
            (told, other) if told != other => vec![Change::whole(told, other)],
            _ => change::between(&before.inner(), &after.inner()),
        };
        match (before, after) {
            (Answer::Payload(before), Answer::Payload(after)) if changes.is_empty() && before != after => {
                vec![Change::of_texts("the payload as it is written", before, after)]
            }
            _ => changes,
        }
    }
}

impl Answer {
    /// What sort of answer it is; of a refusal, all that it says.
    fn words(&self) -> String {
        match self {
            Self::Room(_) => "a room".to_owned(),
            Self::Payload(_) => "a payload".to_owned(),
            Self::Action(Action::Post(_)) => "post".to_owned(),
            Self::Action(Action::Relay(_)) => "relay".to_owned(),
            Self::Action(Action::Ignore) => "ignore".to_owned(),
            Self::Refusal(Refusal { code, message, field }) => {
                let field = field.as_deref().map(|field| format!(" ({field})")).unwrap_or_default();
                one_line(&format!("refusal {code}{field}: {message}"))
            }
        }
    }

    /// Its fields.
    fn inner(&self) -> Json {
        match self {
            Self::Room(RoomDraft { name, on_existing }) => {
                let standing = match on_existing {
                    OnExistingRoom::Reuse => "reuse",
                    OnExistingRoom::Refuse => "refuse",
                };
                json!({ "name": name, "standing": standing })
            }
            Self::Action(Action::Post(Draft { text, client_id, parent, extra })) => json!({
                "text": text,
                "client_id": client_id,
                "parent": parent.map(|parent| parent.0),
                "extra": extra,
            }),
            Self::Refusal(Refusal { code, message, field }) => {
                json!({ "code": code, "message": message, "field": field })
            }
            Self::Action(Action::Ignore) => Json::Null,
            Self::Action(Action::Relay(payload)) | Self::Payload(payload) => {
                serde_json::from_str(payload).unwrap_or_else(|_| payload.as_str().into())
            }
        }
    }

    /// The whole of it, for programs.
    #[must_use]
    pub fn json(&self) -> Json {
        let tag = match self {
            Self::Room(_) => "room",
            Self::Payload(_) => "payload",
            Self::Refusal(_) => "refusal",
            Self::Action(Action::Post(_)) => "post",
            Self::Action(Action::Relay(_)) => "relay",
            Self::Action(Action::Ignore) => return "ignore".into(),
        };
        json!({ tag: self.inner() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use ondol_host_model::MessageId;

    fn replied(answer: Answer) -> Replied {
        Replied { answer: Ok(answer), took: Duration::ZERO }
    }

    fn changes(before: Answer, after: Answer) -> Vec<String> {
        let compared = Compared { before: replied(before), after: replied(after) };
        compared.changes().iter().map(Change::to_string).collect()
    }

    #[test]
    fn a_frame_is_what_a_client_would_have_sent() {
        let mut draft = Draft { text: "안녕 \"둘\"".to_owned(), ..Draft::default() };
        assert_eq!(frame(&draft), r#"{"type":"chat.message","message":"안녕 \"둘\""}"#);
        draft.client_id = Some("c1".to_owned());
        draft.parent = Some(MessageId(u64::MAX));
        let read: Json = serde_json::from_str(&frame(&draft)).unwrap();
        let wanted = json!({"type": "chat.message", "message": "안녕 \"둘\"", "client_id": "c1", "parent": u64::MAX});
        assert_eq!(read, wanted);
    }

    #[test]
    fn a_refusal_in_the_place_of_a_message_does_not_tell_the_message() {
        let post = Answer::Action(Action::Post(Draft { text: "a secret".to_owned(), ..Draft::default() }));
        let refusal = Answer::Refusal(Refusal::new("too_long", Some("message"), "At most 5."));
        assert_eq!(changes(post, refusal), ["before post\nafter  refusal too_long (message): At most 5."]);
    }

    #[test]
    fn a_payload_that_only_reads_otherwise_is_a_change_all_the_same() {
        let payload = |text: &str| Answer::Payload(text.to_owned());
        assert_eq!(changes(payload(r#"{"a":1,"b":2}"#), payload(r#"{"a":1,"b":2}"#)), [""; 0]);
        let told = changes(payload(r#"{"a":1,"b":2}"#), payload(r#"{"b":2,"a":1}"#)).join("");
        assert!(told.starts_with("the payload as it is written: "), "{told}");
    }
}
