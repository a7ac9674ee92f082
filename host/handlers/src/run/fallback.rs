//! The built-in handlers, which answer for one that failed or has no version: the default handlers' own functions,
//! linked into the host and so beyond any sandbox's limits. Knows nothing of what failed, nor why.

use ondol_events::payload::{self, Announce};
use ondol_host_model::{
    Action, Draft, Frame, Message, MessageId, OnExistingRoom, Refusal, RoomDraft, RoomRequest, User,
};
use ondol_messages::frame::{self, Limits};
use ondol_rooms::naming::{Rules, Standing};

use super::kind::SettingsMap;

/// `rooms.create`, as the default handler answers under these settings; under its defaults where it rejects them.
pub(crate) fn create(settings: &SettingsMap, request: &RoomRequest) -> Result<RoomDraft, Refusal> {
    let rules = Rules::read(|key| settings.get(key).cloned()).unwrap_or_default();
    match rules.name(request.name.as_deref()) {
        Ok(name) => {
            let on_existing = match rules.standing {
                Standing::Reuse => OnExistingRoom::Reuse,
                Standing::Refuse => OnExistingRoom::Refuse,
            };
            Ok(RoomDraft { name, on_existing })
        }
        Err(refusal) => Err(Refusal::new(refusal.code, Some("name"), refusal.message)),
    }
}

/// `messages.receive`, as the default handler answers under these settings; under its defaults where it rejects them.
pub(crate) fn receive(settings: &SettingsMap, frame: Frame<'_>) -> Result<Action, Refusal> {
    let limits = Limits::read(|key| settings.get(key).cloned()).unwrap_or_default();
    let frame = match frame {
        Frame::Text(text) => frame::Frame::Text(text),
        Frame::Binary(_) => frame::Frame::Binary,
        Frame::Body(body) => frame::Frame::Body(body),
    };
    match frame::read(&limits, &frame) {
        Ok(frame::Draft { text, client_id, parent }) => {
            Ok(Action::Post(Draft { text, client_id, parent: parent.map(MessageId), extra: None }))
        }
        Err(refusal) => Err(Refusal::new(refusal.code, refusal.field, refusal.message)),
    }
}

/// `events.message`.
pub(crate) fn message(message: &Message) -> String {
    let (sender, draft) = (&message.sender, &message.draft);
    payload::message(&payload::Message {
        text: &draft.text,
        email: &sender.email,
        nickname: &sender.nickname,
        profile_url: sender.profile_url.as_deref(),
        id: message.id.0,
        room: message.room.0,
        seq: message.seq.0,
        created_at: message.created_at.0,
        client_id: draft.client_id.as_deref(),
        parent: draft.parent.map(|parent| parent.0),
        extra: draft.extra.as_deref(),
    })
}

/// `events.join`.
pub(crate) fn join(settings: &SettingsMap, user: &User) -> Option<String> {
    payload::join(announce(settings), &user.nickname)
}

/// `events.leave`.
pub(crate) fn leave(settings: &SettingsMap, user: &User) -> Option<String> {
    payload::leave(announce(settings), &user.nickname)
}

/// `events.refusal`.
pub(crate) fn refusal(refusal: &Refusal) -> String {
    let Refusal { code, message, field } = refusal;
    payload::refusal(code, message, field.as_deref())
}

/// What the operator wants announced.
fn announce(settings: &SettingsMap) -> Announce {
    Announce::read(|key| settings.get(key).cloned()).unwrap_or(Announce::JoinsAndLeaves)
}

#[cfg(test)]
mod properties;
