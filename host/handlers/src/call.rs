//! A call and its answer as values that outlive it: to ask somebody else the same, to hold two answers against each other,
//! and to tell an operator what was asked. Knows nothing of who answers.

use std::sync::Arc;

use super::fault::Fault;
use super::kind::HandlerKind;
use super::output::one_line;
use super::release::Release;
use ondol_host_model::{Action, Draft, Frame, Message, Refusal, RoomDraft, RoomId, RoomRequest, Speaker, User};

/// The most that is told of an input or an answer, in characters.
const TOLD_CHARS_MAX: usize = 1_024;

/// What a handler was asked.
#[derive(Clone, Debug)]
pub enum Call {
    /// `rooms.create`.
    Create(RoomRequest, Option<User>),
    /// `messages.receive`.
    Receive(Arc<Speaker>, RoomId, Sent),
    /// `events.message`.
    Message(Message),
    /// `events.join`.
    Join(RoomId, User),
    /// `events.leave`.
    Leave(RoomId, User),
    /// `events.refusal`.
    Refusal(Refusal),
}

/// A frame that was kept.
#[derive(Clone, Debug)]
pub enum Sent {
    /// A text message of a WebSocket.
    Text(String),
    /// A binary message of a WebSocket.
    Binary(Vec<u8>),
    /// The body of a request.
    Body(String),
}

/// What it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Room(Result<RoomDraft, Refusal>),
    Action(Result<Action, Refusal>),
    Payload(String),
    Announcement(Option<String>),
}

impl Call {
    /// `messages.receive` of this frame.
    #[must_use]
    pub fn receive(sender: &Arc<Speaker>, room: RoomId, frame: Frame<'_>) -> Self {
        let sent = match frame {
            Frame::Text(text) => Sent::Text(text.to_owned()),
            Frame::Binary(bytes) => Sent::Binary(bytes.to_vec()),
            Frame::Body(body) => Sent::Body(body.to_owned()),
        };
        Self::Receive(Arc::clone(sender), room, sent)
    }

    /// Asks a release the same.
    pub(super) fn ask(&self, release: &Release) -> Result<Answer, Fault> {
        match self {
            Self::Create(request, creator) => release.create(request, creator.as_ref()).map(Answer::Room),
            Self::Receive(sender, room, sent) => {
                let frame = match sent {
                    Sent::Text(text) => Frame::Text(text),
                    Sent::Binary(bytes) => Frame::Binary(bytes),
                    Sent::Body(body) => Frame::Body(body),
                };
                release.receive(sender, *room, frame).map(Answer::Action)
            }
            Self::Message(message) => release.message(message).map(Answer::Payload),
            Self::Join(room, user) => release.join(*room, user).map(Answer::Announcement),
            Self::Leave(room, user) => release.leave(*room, user).map(Answer::Announcement),
            Self::Refusal(refusal) => release.refusal(refusal).map(Answer::Payload),
        }
    }

    /// The function that was called.
    pub(super) fn function(&self) -> &'static str {
        match self {
            Self::Create(..) => "rooms.create",
            Self::Receive(..) => "messages.receive",
            Self::Message(_) => "events.message",
            Self::Join(..) => "events.join",
            Self::Leave(..) => "events.leave",
            Self::Refusal(_) => "events.refusal",
        }
    }

    /// How many bytes of text it holds. A sender is not counted: all of a connection's calls share it.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Create(request, creator) => text(&request.name) + creator.as_ref().map_or(0, user_bytes),
            Self::Receive(_, _, Sent::Text(text) | Sent::Body(text)) => text.len(),
            Self::Receive(_, _, Sent::Binary(bytes)) => bytes.len(),
            Self::Message(message) => draft_bytes(&message.draft),
            Self::Join(_, user) | Self::Leave(_, user) => user_bytes(user),
            Self::Refusal(refusal) => refusal_bytes(refusal),
        }
    }

    /// What went into it, in one bounded line. It holds what people said: for the operator's eyes and disk, never a log.
    pub(super) fn input(&self) -> String {
        bounded(&match self {
            Self::Create(request, creator) => format!("{request:?} by {creator:?}"),
            Self::Receive(sender, room, Sent::Text(text) | Sent::Body(text)) => {
                format!("in room {room} by {:?}: {text}", sender.id)
            }
            Self::Receive(sender, room, Sent::Binary(bytes)) => format!("in room {room} by {:?}: {bytes:?}", sender.id),
            Self::Message(message) => {
                let (sender, draft) = (&message.sender.id, &message.draft);
                format!("in room {} by {sender:?}, seq {}: {draft:?}", message.room, message.seq.0)
            }
            Self::Join(room, user) | Self::Leave(room, user) => format!("in room {room}: {:?}", user.id),
            Self::Refusal(refusal) => format!("{refusal:?}"),
        })
    }
}

impl Answer {
    /// How many bytes of text it holds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Room(Ok(draft)) => draft.name.len(),
            Self::Action(Ok(Action::Post(draft))) => draft_bytes(draft),
            Self::Action(Ok(Action::Relay(payload))) | Self::Payload(payload) => payload.len(),
            Self::Action(Ok(Action::Ignore)) => 0,
            Self::Announcement(payload) => text(payload),
            Self::Room(Err(refusal)) | Self::Action(Err(refusal)) => refusal_bytes(refusal),
        }
    }

    /// What was answered, in one bounded line.
    pub(super) fn told(&self) -> String {
        bounded(&match self {
            Self::Room(Ok(draft)) => format!("{draft:?}"),
            Self::Action(Ok(action)) => format!("{action:?}"),
            Self::Room(Err(refusal)) | Self::Action(Err(refusal)) => format!("refused: {refusal:?}"),
            Self::Payload(payload) | Self::Announcement(Some(payload)) => payload.clone(),
            Self::Announcement(None) => "nothing".to_owned(),
        })
    }
}

fn text(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}

fn user_bytes(user: &User) -> usize {
    user.id.len() + user.nickname.len() + user.email.len() + text(&user.profile_url)
}

fn draft_bytes(draft: &Draft) -> usize {
    draft.text.len() + text(&draft.client_id) + text(&draft.extra)
}

fn refusal_bytes(refusal: &Refusal) -> usize {
    refusal.code.len() + refusal.message.len() + text(&refusal.field)
}

impl From<Result<RoomDraft, Refusal>> for Answer {
    fn from(answer: Result<RoomDraft, Refusal>) -> Self {
        Self::Room(answer)
    }
}

impl From<Result<Action, Refusal>> for Answer {
    fn from(answer: Result<Action, Refusal>) -> Self {
        Self::Action(answer)
    }
}

impl From<String> for Answer {
    fn from(payload: String) -> Self {
        Self::Payload(payload)
    }
}

impl From<Option<String>> for Answer {
    fn from(payload: Option<String>) -> Self {
        Self::Announcement(payload)
    }
}

/// One value for each handler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Each<T>(pub(super) [T; 3]);

impl<T> Each<T> {
    pub(super) fn of(&self, handler: HandlerKind) -> &T {
        let [rooms, messages, events] = &self.0;
        match handler {
            HandlerKind::Rooms => rooms,
            HandlerKind::Messages => messages,
            HandlerKind::Events => events,
        }
    }
}

/// The handlers whose versions differ between two releases.
pub(super) fn differing(one: &Release, other: &Release) -> Each<bool> {
    Each(HandlerKind::ALL.map(|handler| one.version(handler) != other.version(handler)))
}

/// A text in one line that is not too long to read.
pub(super) fn bounded(text: &str) -> String {
    match text.char_indices().nth(TOLD_CHARS_MAX) {
        Some((end, _)) => format!("{} …", one_line(text.get(..end).unwrap_or_default())),
        None => one_line(text),
    }
}
