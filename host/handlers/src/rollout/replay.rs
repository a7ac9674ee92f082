//! A replay: calls two versions of a handler with the inputs of stored rooms and messages, and compares the answers.
//! Knows nothing of how rooms and messages are stored.
//!
//! What is stored is not all of the input. Text is stored trimmed, refused frames are not stored, and of a room's
//! creator only the id is known, which takes the place of nickname and e-mail address here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ondol_host_model::{
    Action, Draft, Frame, Message, OnExistingRoom, Refusal, Room, RoomDraft, RoomId, RoomRequest, Speaker, User,
};
use serde_json::{Value as Json, json};

use crate::admit::admission::{Admission, AdmittedVersion};
use crate::admit::error::AdmissionError;
use crate::admit::json_difference::{Comparison, Difference};
use crate::admit::source::Source;
use crate::run::fault::Fault;
use crate::run::kind::{HandlerKind, VersionId};
use crate::run::text::one_line;

/// How two answers are compared: people are shown no more of a message than the difference needs.
const COMPARISON: Comparison = Comparison { left: "before", right: "after", around_chars: 8, side_chars_max: 60 };

/// Two versions of one handler, called side by side.
pub struct Replay {
    before: Side,
    after: Side,
    calls: u64,
}

/// One of the two versions.
pub struct Side {
    admitted: AdmittedVersion,
    handler: HandlerKind,
    version: VersionId,
}

/// The answers of both.
#[derive(Debug)]
pub struct Compared {
    /// The active version, or another one to compare with.
    pub before: Replied,
    /// The candidate.
    pub after: Replied,
}

/// The answer of one version.
#[derive(Debug)]
pub struct Replied {
    /// Its answer, which may be a refusal; or its fault.
    pub answer: Result<ReplayAnswer, Fault>,
    /// How long the call took, its checks included.
    pub took: Duration,
}

/// An answer of whichever handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayAnswer {
    /// Of `rooms`.
    Room(RoomDraft),
    /// Of `messages`.
    Action(Action),
    /// Of either.
    Refusal(Refusal),
    /// Of `events`.
    Payload(String),
}

/// A call made of something stored.
enum StoredCall<'a> {
    Create(RoomRequest, Option<User>),
    Receive(&'a Arc<Speaker>, RoomId, String),
    Message(&'a Message),
}

impl Side {
    /// Admits a version, without its cases.
    ///
    /// # Errors
    ///
    /// Every reason of the first check that found one.
    pub fn admit(admission: &Admission, source: Source) -> Result<Self, AdmissionError> {
        let source = Source { cases: None, ..source };
        let admitted = admission.admit(&source)?;
        Ok(Self { admitted, handler: source.handler, version: source.version() })
    }

    /// Whose version it is.
    #[must_use]
    pub fn handler(&self) -> HandlerKind {
        self.handler
    }

    /// Its id.
    #[must_use]
    pub fn version(&self) -> VersionId {
        self.version
    }

    /// Calls once more where the call was slow: a busy machine makes a quick call look slow, and a replay is about the
    /// handler and not the machine. None: the call is another handler's.
    fn call(&self, call: &StoredCall<'_>) -> Option<Replied> {
        let replied = self.call_once(call)?;
        match &replied.answer {
            Err(fault) if fault.cause.was_slow() => self.call_once(call),
            _ => Some(replied),
        }
    }

    fn call_once(&self, call: &StoredCall<'_>) -> Option<Replied> {
        let started = Instant::now();
        let answer = match (&self.admitted, call) {
            (AdmittedVersion::Rooms(rooms), StoredCall::Create(request, creator)) => rooms
                .create(request, creator.as_ref())
                .map(|answer| answer.map_or_else(ReplayAnswer::Refusal, ReplayAnswer::Room)),
            (AdmittedVersion::Messages(messages), StoredCall::Receive(sender, room, frame)) => {
                let answer = messages.receive(sender, *room, Frame::Text(frame));
                answer.map(|answer| answer.map_or_else(ReplayAnswer::Refusal, ReplayAnswer::Action))
            }
            (AdmittedVersion::Events(events), StoredCall::Message(message)) => {
                events.message(message).map(ReplayAnswer::Payload)
            }
            _ => return None,
        };
        Some(Replied { answer, took: started.elapsed() })
    }
}

impl Replay {
    /// Two versions of the same handler.
    #[must_use]
    pub fn new(before: Side, after: Side) -> Self {
        Self { before, after, calls: 0 }
    }

    /// The version to compare with.
    #[must_use]
    pub fn before(&self) -> &Side {
        &self.before
    }

    /// The candidate.
    #[must_use]
    pub fn after(&self) -> &Side {
        &self.after
    }

    /// Calls `events` with a stored message, or `messages` with the frame that a client would have sent for it. None: a
    /// message means nothing to `rooms`.
    pub fn message(&mut self, message: &Message) -> Option<Compared> {
        match self.after.handler {
            HandlerKind::Rooms => None,
            HandlerKind::Messages => {
                self.call(&StoredCall::Receive(&message.sender, message.room, frame(&message.draft)))
            }
            HandlerKind::Events => self.call(&StoredCall::Message(message)),
        }
    }

    /// Calls `rooms` with the request for a stored room. None for the other two.
    pub fn room(&mut self, room: &Room) -> Option<Compared> {
        let request = RoomRequest { name: Some(room.name.clone()), post_id: room.post_id };
        let creator = room.owner.as_ref().map(|owner| User {
            id: owner.clone(),
            nickname: owner.clone(),
            email: owner.clone(),
            profile_url: None,
        });
        self.call(&StoredCall::Create(request, creator))
    }

    /// Calls both, and each as often first: the second finds the input in the processor's caches.
    fn call(&mut self, call: &StoredCall<'_>) -> Option<Compared> {
        self.calls += 1;
        if self.calls % 2 == 1 {
            let before = self.before.call(call)?;
            Some(Compared { before, after: self.after.call(call)? })
        } else {
            let after = self.after.call(call)?;
            Some(Compared { before: self.before.call(call)?, after })
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
    /// Whether both gave the same answer. A fault is none, even if both failed.
    #[must_use]
    pub fn same(&self) -> bool {
        matches!((&self.before.answer, &self.after.answer), (Ok(before), Ok(after)) if before == after)
    }

    /// Where the two answers differ. Empty where one failed.
    #[must_use]
    pub fn differences(&self) -> Vec<Difference> {
        let (Ok(before), Ok(after)) = (&self.before.answer, &self.after.answer) else { return Vec::new() };
        let differences = match (before.sort(), after.sort()) {
            // An action of another sort says nothing of the message.
            (one, other) if one != other => vec![COMPARISON.difference("", one, other)],
            _ => COMPARISON.differences(&before.inner(), &after.inner()),
        };
        match (before, after) {
            (ReplayAnswer::Payload(before), ReplayAnswer::Payload(after))
                if differences.is_empty() && before != after =>
            {
                vec![COMPARISON.texts("the payload as it is written", before, after)]
            }
            _ => differences,
        }
    }
}

impl ReplayAnswer {
    /// The sort of answer; of a refusal, all that it says.
    fn sort(&self) -> String {
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

    fn replied(answer: ReplayAnswer) -> Replied {
        Replied { answer: Ok(answer), took: Duration::ZERO }
    }

    fn differences(before: ReplayAnswer, after: ReplayAnswer) -> Vec<String> {
        let compared = Compared { before: replied(before), after: replied(after) };
        compared.differences().iter().map(Difference::to_string).collect()
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
    fn a_refusal_instead_of_a_message_does_not_show_the_message() {
        let post = ReplayAnswer::Action(Action::Post(Draft { text: "a secret".to_owned(), ..Draft::default() }));
        let refusal = ReplayAnswer::Refusal(Refusal::new("too_long", Some("message"), "At most 5."));
        assert_eq!(differences(post, refusal), ["before post\nafter  refusal too_long (message): At most 5."]);
    }

    #[test]
    fn a_payload_that_is_written_differently_is_a_difference() {
        let payload = |text: &str| ReplayAnswer::Payload(text.to_owned());
        assert_eq!(differences(payload(r#"{"a":1,"b":2}"#), payload(r#"{"a":1,"b":2}"#)), [""; 0]);
        let shown = differences(payload(r#"{"a":1,"b":2}"#), payload(r#"{"b":2,"a":1}"#)).join("");
        assert!(shown.starts_with("the payload as it is written: "), "{shown}");
    }
}
