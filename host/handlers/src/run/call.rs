//! A call and its answer as values that outlive it: to make the same call elsewhere, to compare two answers, and to
//! show both to an operator. Knows nothing of how it is answered.

use std::sync::Arc;

use ondol_host_model::{
    Action, Draft, Frame, Message, OnExistingRoom, Refusal, RoomDraft, RoomId, RoomRequest, Speaker, User,
};
use serde_json::{Value as Json, json};

use super::fault::Fault;
use super::text::shorten;
use super::version_set::VersionSet;

/// The most that is shown of an input or an answer, in characters.
const SHOWN_CHARS_MAX: usize = 1_024;

/// In place of the e-mail address of a call's user.
const ADDRESS_LEFT_OUT: &str = "(e-mail address)";

/// A call to a handler.
#[derive(Clone, Debug)]
pub(crate) enum Call {
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

/// A frame with its content.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// A text message of a WebSocket.
    Text(String),
    /// A binary message of a WebSocket.
    Binary(Vec<u8>),
    /// The body of a request.
    Body(String),
}

/// An answer of a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Room(Result<RoomDraft, Refusal>),
    Action(Result<Action, Refusal>),
    Payload(String),
    Announcement(Option<String>),
}

impl Call {
    /// `messages.receive` of this frame.
    #[must_use]
    pub(crate) fn receive(sender: &Arc<Speaker>, room: RoomId, frame: Frame<'_>) -> Self {
        let sent = match frame {
            Frame::Text(text) => Sent::Text(text.to_owned()),
            Frame::Binary(bytes) => Sent::Binary(bytes.to_vec()),
            Frame::Body(body) => Sent::Body(body.to_owned()),
        };
        Self::Receive(Arc::clone(sender), room, sent)
    }

    /// Makes the call to these versions.
    pub(crate) fn make(&self, versions: &VersionSet) -> Result<Answer, Fault> {
        let VersionSet { rooms, messages, events } = versions;
        match self {
            Self::Create(request, creator) => rooms.create(request, creator.as_ref()).map(Answer::Room),
            Self::Receive(sender, room, sent) => {
                let frame = match sent {
                    Sent::Text(text) => Frame::Text(text),
                    Sent::Binary(bytes) => Frame::Binary(bytes),
                    Sent::Body(body) => Frame::Body(body),
                };
                messages.receive(sender, *room, frame).map(Answer::Action)
            }
            Self::Message(message) => events.message(message).map(Answer::Payload),
            Self::Join(room, user) => events.join(*room, user).map(Answer::Announcement),
            Self::Leave(room, user) => events.leave(*room, user).map(Answer::Announcement),
            Self::Refusal(refusal) => events.refusal(refusal).map(Answer::Payload),
        }
    }

    /// The function that was called.
    pub(crate) fn function(&self) -> &'static str {
        match self {
            Self::Create(..) => "rooms.create",
            Self::Receive(..) => "messages.receive",
            Self::Message(_) => "events.message",
            Self::Join(..) => "events.join",
            Self::Leave(..) => "events.leave",
            Self::Refusal(_) => "events.refusal",
        }
    }

    /// The size of its text, in bytes. A sender is not counted: all calls of a connection share it.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Create(request, creator) => text(&request.name) + creator.as_ref().map_or(0, user_bytes),
            Self::Receive(_, _, Sent::Text(text) | Sent::Body(text)) => text.len(),
            Self::Receive(_, _, Sent::Binary(bytes)) => bytes.len(),
            Self::Message(message) => draft_bytes(&message.draft),
            Self::Join(_, user) | Self::Leave(_, user) => user_bytes(user),
            Self::Refusal(refusal) => refusal_bytes(refusal),
        }
    }

    /// Its arguments, as `ondol call` takes them.
    pub(crate) fn arguments(&self) -> Vec<Json> {
        match self {
            Self::Create(request, creator) => {
                vec![json!({ "name": request.name, "post-id": request.post_id, "creator": creator.as_ref().map(user) })]
            }
            Self::Receive(sender, room, sent) => vec![user(sender), room.0.into(), sent.json()],
            Self::Message(message) => {
                let Draft { text, client_id, parent, extra } = &message.draft;
                vec![json!({
                    "id": message.id.0,
                    "room": message.room.0,
                    "seq": message.seq.0,
                    "sender": user(&message.sender),
                    "text": text,
                    "client-id": client_id,
                    "parent": parent.map(|parent| parent.0),
                    "extra": extra,
                    "created-at": message.created_at.0,
                })]
            }
            Self::Join(room, member) | Self::Leave(room, member) => vec![room.0.into(), user(member)],
            Self::Refusal(given) => vec![refusal(given)],
        }
    }

    /// What it came to, in one bounded line without its user's e-mail address. It contains what users sent, so it must not be
    /// logged.
    pub(crate) fn outcome(&self, outcome: &Result<Answer, String>) -> String {
        describe(&self.without_address(match outcome {
            Ok(answer) => answer.words(),
            Err(cause) => format!("failed: {cause}"),
        }))
    }

    /// A text in which the e-mail address of its user is left out, as it stands or as JSON has it.
    fn without_address(&self, text: String) -> String {
        let user: &User = match self {
            Self::Create(_, Some(creator)) => creator,
            Self::Receive(sender, ..) => sender,
            Self::Message(message) => &message.sender,
            Self::Join(_, user) | Self::Leave(_, user) => user,
            Self::Create(_, None) | Self::Refusal(_) => return text,
        };
        // Anything shorter would also be found in words.
        if !user.email.contains('@') {
            return text;
        }
        let quoted = Json::from(user.email.as_str()).to_string();
        text.replace(&user.email, ADDRESS_LEFT_OUT).replace(quoted.trim_matches('"'), ADDRESS_LEFT_OUT)
    }

    /// Its input, in one bounded line. It contains what users sent, so it must not be logged.
    pub(crate) fn input(&self) -> String {
        let input = match self {
            Self::Create(request, creator) => {
                let by = creator.as_ref().map_or_else(|| "no user".to_owned(), |user| format!("{:?}", user.id));
                format!("by {by}: {}", json!({ "name": request.name, "post-id": request.post_id }))
            }
            Self::Receive(sender, room, Sent::Text(text) | Sent::Body(text)) => {
                format!("in room {room} by {:?}: {text}", sender.id)
            }
            Self::Receive(sender, room, Sent::Binary(bytes)) => {
                format!("in room {room} by {:?}: {}", sender.id, json!(bytes))
            }
            Self::Message(message) => {
                let (sender, draft) = (&message.sender.id, draft(&message.draft));
                format!("in room {} by {sender:?}, seq {}: {draft}", message.room, message.seq.0)
            }
            Self::Join(room, user) | Self::Leave(room, user) => format!("in room {room}: {:?}", user.id),
            Self::Refusal(given) => refusal(given).to_string(),
        };
        describe(&self.without_address(input))
    }
}

impl Sent {
    fn json(&self) -> Json {
        match self {
            Self::Text(text) => json!({ "text": text }),
            Self::Binary(bytes) => json!({ "binary": bytes }),
            Self::Body(body) => json!({ "body": body }),
        }
    }
}

impl Answer {
    /// The answer as `ondol call` prints it; a refusal as that.
    pub(crate) fn json(&self) -> Json {
        match self {
            Self::Room(Ok(room)) => json!({ "name": room.name, "standing": standing(room.on_existing) }),
            Self::Action(Ok(Action::Post(given))) => json!({ "post": draft(given) }),
            Self::Action(Ok(Action::Relay(payload))) => json!({ "relay": payload }),
            Self::Action(Ok(Action::Ignore)) => json!("ignore"),
            Self::Room(Err(given)) | Self::Action(Err(given)) => refusal(given),
            Self::Payload(payload) => json!(payload),
            Self::Announcement(payload) => json!(payload),
        }
    }

    /// Whether it is a deliberate no.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Room(Err(_)) | Self::Action(Err(_)))
    }

    /// The size of its text, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Room(Ok(draft)) => draft.name.len(),
            Self::Action(Ok(Action::Post(draft))) => draft_bytes(draft),
            Self::Action(Ok(Action::Relay(payload))) | Self::Payload(payload) => payload.len(),
            Self::Action(Ok(Action::Ignore)) => 0,
            Self::Announcement(payload) => text(payload),
            Self::Room(Err(refusal)) | Self::Action(Err(refusal)) => refusal_bytes(refusal),
        }
    }

    /// The answer as text.
    fn words(&self) -> String {
        match self {
            Self::Room(Ok(_)) | Self::Action(Ok(Action::Post(_) | Action::Relay(_))) => self.json().to_string(),
            Self::Action(Ok(Action::Ignore)) => "ignore".to_owned(),
            Self::Room(Err(given)) | Self::Action(Err(given)) => format!("refused: {}", refusal(given)),
            Self::Payload(payload) | Self::Announcement(Some(payload)) => payload.clone(),
            Self::Announcement(None) => "nothing".to_owned(),
        }
    }
}

fn standing(on_existing: OnExistingRoom) -> &'static str {
    match on_existing {
        OnExistingRoom::Reuse => "reuse",
        OnExistingRoom::Refuse => "refuse",
    }
}

/// A user as `ondol call` takes it.
fn user(user: &User) -> Json {
    json!({ "id": user.id, "nickname": user.nickname, "email": user.email, "profile-url": user.profile_url })
}

/// A draft as `ondol call` prints it.
fn draft(draft: &Draft) -> Json {
    let Draft { text, client_id, parent, extra } = draft;
    json!({ "text": text, "client-id": client_id, "parent": parent.map(|parent| parent.0), "extra": extra })
}

/// A refusal as `ondol call` prints it.
pub(crate) fn refusal(refusal: &Refusal) -> Json {
    json!({ "code": refusal.code, "message": refusal.message, "field": refusal.field })
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

/// A text in one bounded line.
pub(crate) fn describe(text: &str) -> String {
    shorten(text, SHOWN_CHARS_MAX)
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
