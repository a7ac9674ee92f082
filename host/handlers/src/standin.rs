//! Who answers in the place of a handler that failed, or that has no version, where the operator wants that: the default handler's own functions,
//! linked into the host and so beyond any sandbox's trouble. Knows nothing of what failed, nor why.

use ondol_events::payload::{self, Announce};
use ondol_messages::frame::{self, Limits};

use super::SettingsMap;
use super::kind::HandlerKind;
use super::limits::OnFault;
use super::release::Release;
use super::sandbox::Sandbox;
use ondol_host_model::{Action, Draft, Frame, Message, MessageId, Refusal, User};

/// `messages.receive`, as the default handler would answer under these settings; its defaults where it would not take them.
fn receive(settings: &SettingsMap, frame: Frame<'_>) -> Result<Action, Refusal> {
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
fn message(message: &Message) -> String {
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

/// What the operator wants announced.
fn announce(settings: &SettingsMap) -> Announce {
    Announce::read(|key| settings.get(key).cloned()).unwrap_or(Announce::JoinsAndLeaves)
}

impl Sandbox {
    /// Whether somebody answers where this handler does not.
    pub(super) fn stands_in(&self, handler: HandlerKind) -> bool {
        self.failure().of(handler) == OnFault::Default
    }
}

/// The answers in the place of this release's. None: the operator wants none, so whoever asked hears that it failed.
impl Release {
    /// In the place of [`Release::receive`].
    #[must_use]
    pub fn receive_instead(&self, frame: Frame<'_>) -> Option<Result<Action, Refusal>> {
        let version = &self.messages;
        version.sandbox.stands_in(HandlerKind::Messages).then(|| receive(&version.settings, frame))
    }

    /// In the place of [`Release::message`].
    #[must_use]
    pub fn message_instead(&self, of: &Message) -> Option<String> {
        self.events_stand_in().map(|_| message(of))
    }

    /// In the place of [`Release::join`].
    #[must_use]
    pub fn join_instead(&self, user: &User) -> Option<Option<String>> {
        self.events_stand_in().map(|settings| payload::join(announce(settings), &user.nickname))
    }

    /// In the place of [`Release::leave`].
    #[must_use]
    pub fn leave_instead(&self, user: &User) -> Option<Option<String>> {
        self.events_stand_in().map(|settings| payload::leave(announce(settings), &user.nickname))
    }

    /// In the place of [`Release::refusal`].
    #[must_use]
    pub fn refusal_instead(&self, refusal: &Refusal) -> Option<String> {
        let Refusal { code, message, field } = refusal;
        self.events_stand_in().map(|_| payload::refusal(code, message, field.as_deref()))
    }

    /// The settings of `events`, where somebody may answer in its place.
    fn events_stand_in(&self) -> Option<&SettingsMap> {
        let version = &self.events;
        version.sandbox.stands_in(HandlerKind::Events).then_some(&*version.settings)
    }
}
