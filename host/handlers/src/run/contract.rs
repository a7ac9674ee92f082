//! The types of `wit/` as they cross into a component and out of it. What goes in is borrowed and what comes out is
//! owned, so a call copies each text once each way. Knows nothing of instances, limits or releases.

use wasmtime::component::{ComponentType, Lift, Lower};

use ondol_host_model::{self as model, Action, Draft, Frame, MessageId, OnExistingRoom, Refusal, RoomDraft};

/// The version of `wit/` that this host speaks, as in `ondol:chat/messages@0.2.0`.
pub(crate) const PACKAGE_VERSION: &str = "0.2.0";

/// `types.user`, going in.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct User<Text> {
    id: Text,
    nickname: Text,
    email: Text,
    #[component(name = "profile-url")]
    profile_url: Option<Text>,
}

impl<'a> From<&'a model::User> for User<&'a str> {
    fn from(user: &'a model::User) -> Self {
        Self { id: &user.id, nickname: &user.nickname, email: &user.email, profile_url: user.profile_url.as_deref() }
    }
}

/// What an import answers may not be borrowed.
impl From<&model::User> for User<String> {
    fn from(user: &model::User) -> Self {
        let model::User { id, nickname, email, profile_url } = user.clone();
        Self { id, nickname, email, profile_url }
    }
}

/// `types.message`, going in.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Message<'a> {
    id: u64,
    room: u64,
    seq: u64,
    sender: u64,
    text: &'a str,
    #[component(name = "client-id")]
    client_id: Option<&'a str>,
    parent: Option<u64>,
    extra: Option<&'a str>,
    #[component(name = "created-at")]
    created_at: u64,
}

impl<'a> From<&'a model::Message> for Message<'a> {
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

/// `types.refusal`, coming out.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct RefusalOut {
    code: String,
    message: String,
    field: Option<String>,
}

impl From<RefusalOut> for Refusal {
    fn from(out: RefusalOut) -> Self {
        Self { code: out.code, message: out.message, field: out.field }
    }
}

/// `types.refusal`, going in.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct RefusalIn<'a> {
    code: &'a str,
    message: &'a str,
    field: Option<&'a str>,
}

impl<'a> From<&'a Refusal> for RefusalIn<'a> {
    fn from(refusal: &'a Refusal) -> Self {
        Self { code: &refusal.code, message: &refusal.message, field: refusal.field.as_deref() }
    }
}

/// `rooms.request`, going in.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Request<'a> {
    pub(crate) name: Option<&'a str>,
    #[component(name = "post-id")]
    pub(crate) post_id: Option<u64>,
    pub(crate) creator: Option<User<&'a str>>,
}

/// `rooms.standing`, coming out.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "only `Lift` makes one")]
pub(crate) enum StandingOut {
    #[component(name = "reuse")]
    Reuse,
    #[component(name = "refuse")]
    Refuse,
}

/// `rooms.room-draft`, coming out.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct RoomDraftOut {
    name: String,
    standing: StandingOut,
}

impl From<RoomDraftOut> for RoomDraft {
    fn from(out: RoomDraftOut) -> Self {
        let on_existing = match out.standing {
            StandingOut::Reuse => OnExistingRoom::Reuse,
            StandingOut::Refuse => OnExistingRoom::Refuse,
        };
        Self { name: out.name, on_existing }
    }
}

/// `messages.frame`, going in.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum FrameIn<'a> {
    #[component(name = "text")]
    Text(&'a str),
    #[component(name = "binary")]
    Binary(&'a [u8]),
    #[component(name = "body")]
    Body(&'a str),
}

impl<'a> From<Frame<'a>> for FrameIn<'a> {
    fn from(frame: Frame<'a>) -> Self {
        match frame {
            Frame::Text(text) => Self::Text(text),
            Frame::Binary(bytes) => Self::Binary(bytes),
            Frame::Body(body) => Self::Body(body),
        }
    }
}

/// `messages.draft`, coming out.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct DraftOut {
    text: String,
    #[component(name = "client-id")]
    client_id: Option<String>,
    parent: Option<u64>,
    extra: Option<String>,
}

/// `messages.action`, coming out.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(crate) enum ActionOut {
    #[component(name = "post")]
    Post(DraftOut),
    #[component(name = "relay")]
    Relay(String),
    #[component(name = "ignore")]
    Ignore,
}

impl From<ActionOut> for Action {
    fn from(out: ActionOut) -> Self {
        match out {
            ActionOut::Post(draft) => Self::Post(Draft {
                text: draft.text,
                client_id: draft.client_id,
                parent: draft.parent.map(MessageId),
                extra: draft.extra,
            }),
            ActionOut::Relay(payload) => Self::Relay(payload),
            ActionOut::Ignore => Self::Ignore,
        }
    }
}
