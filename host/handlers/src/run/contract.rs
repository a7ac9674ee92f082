//! The contract of `wit/` as Rust types, which `bindgen!` makes, and the model's types as they cross into a component
//! and out of it. What goes in is borrowed and what comes out is owned, so a call copies each text once each way. Knows
//! nothing of instances, limits or releases.

use ondol_host_model::{self as model, OnExistingRoom};

/// What a handler may import.
#[allow(missing_docs, reason = "made by bindgen!")]
mod imports {
    wasmtime::component::bindgen!({
        path: "../../wit",
        interfaces: "import ondol:chat/settings@0.2.0; import ondol:chat/users@0.2.0;",
        imports: { default: trappable },
    });
}

/// What `rooms` and `messages` export, whose refusals come out. `unused` is never looked for, here and below: it has
/// types in a signature, because bindgen! borrows in a type that no function takes but writes no lifetime for it.
#[allow(unsafe_code, missing_docs, reason = "made by bindgen!, which checks the types of what it calls unchecked")]
mod answers {
    wasmtime::component::bindgen!({
        path: "../../wit",
        interfaces: "
            export ondol:chat/rooms@0.2.0;
            export ondol:chat/messages@0.2.0;
            export unused: interface {
                use ondol:chat/types@0.2.0.{message};
                unused: func(of: message);
            }
        ",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// What `events` exports, whose refusals go in. Apart from the others, because bindgen! writes code that does not
/// compile for a borrowed type that is the error of a result as well.
#[allow(unsafe_code, missing_docs, reason = "made by bindgen!, which checks the types of what it calls unchecked")]
mod payloads {
    wasmtime::component::bindgen!({
        path: "../../wit",
        interfaces: "
            export ondol:chat/events@0.2.0;
            export unused: interface {
                use ondol:chat/types@0.2.0.{action, frame};
                unused: func(frame: frame, of: action);
            }
        ",
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

use answers::ondol::chat::types::Draft;

pub(crate) use answers::exports::ondol::chat::{messages, rooms};
pub(crate) use imports::ondol::chat::{settings, users};
pub(crate) use payloads::exports::ondol::chat::events;

impl<'a> From<&'a model::User> for rooms::User<'a> {
    fn from(user: &'a model::User) -> Self {
        Self { id: &user.id, nickname: &user.nickname, email: &user.email, profile_url: user.profile_url.as_deref() }
    }
}

impl<'a> From<&'a model::User> for events::User<'a> {
    fn from(user: &'a model::User) -> Self {
        Self { id: &user.id, nickname: &user.nickname, email: &user.email, profile_url: user.profile_url.as_deref() }
    }
}

impl From<&model::User> for users::User {
    fn from(user: &model::User) -> Self {
        let model::User { id, nickname, email, profile_url } = user.clone();
        Self { id, nickname, email, profile_url }
    }
}

impl<'a> From<&'a model::Message> for events::Accepted<'a> {
    fn from(message: &'a model::Message) -> Self {
        let draft = &message.draft;
        Self {
            id: message.id.0,
            room: message.room.0,
            seq: message.seq.0,
            sender: message.sender.key().0,
            text: &draft.text,
            client_id: draft.client_id.as_deref(),
            parent: draft.parent.map(|parent| parent.0),
            extra: draft.extra.as_deref(),
            created_at: message.created_at.0,
        }
    }
}

impl From<messages::Refusal> for model::Refusal {
    fn from(refusal: messages::Refusal) -> Self {
        Self { code: refusal.code, message: refusal.message, field: refusal.field }
    }
}

impl<'a> From<&'a model::Refusal> for events::Refused<'a> {
    fn from(refusal: &'a model::Refusal) -> Self {
        Self { code: &refusal.code, message: &refusal.message, field: refusal.field.as_deref() }
    }
}

impl From<rooms::RoomDraft> for model::RoomDraft {
    fn from(draft: rooms::RoomDraft) -> Self {
        let on_existing = match draft.standing {
            rooms::Standing::Reuse => OnExistingRoom::Reuse,
            rooms::Standing::Refuse => OnExistingRoom::Refuse,
        };
        Self { name: draft.name, on_existing }
    }
}

impl<'a> From<model::Frame<'a>> for messages::Frame<'a> {
    fn from(frame: model::Frame<'a>) -> Self {
        match frame {
            model::Frame::Text(text) => Self::Text(text),
            model::Frame::Binary(bytes) => Self::Binary(bytes),
            model::Frame::Body(body) => Self::Body(body),
        }
    }
}

impl From<messages::Action> for model::Action {
    fn from(action: messages::Action) -> Self {
        match action {
            messages::Action::Post(Draft { text, client_id, parent, extra }) => {
                Self::Post(model::Draft { text, client_id, parent: parent.map(model::MessageId), extra })
            }
            messages::Action::Relay(payload) => Self::Relay(payload),
            messages::Action::Ignore => Self::Ignore,
        }
    }
}
