//! From a file's bytes to a version that can answer: what it is, whether it fits its world, compiled, tried with one
//! call. Whatever is wrong is told as a sentence and changes nothing.

use std::sync::Arc;

use super::exports::{EventExports, Exports, MessageExports, RoomExports};
use super::inspect::{self, FileKind};
use super::kind::{HandlerKind, VersionId};
use super::sandbox::Sandbox;
use super::version::Version;
use super::{Release, SettingsMap};
use crate::model::{Draft, Frame, Message, MessageId, Refusal, RoomId, RoomRequest, Seq, Timestamp, User};

/// Why a file was not taken: a reason each, all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct LoadError(pub Vec<String>);

impl LoadError {
    /// A single reason.
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Self(vec![reason.into()])
    }
}

/// A version of whichever handler.
pub(super) enum Loaded {
    Rooms(Version<RoomExports>),
    Messages(Version<MessageExports>),
    Events(Version<EventExports>),
}

impl Loaded {
    /// The release that differs from `release` in this version.
    pub(super) fn into(self, release: &Release) -> Release {
        let mut release = release.clone();
        match self {
            Self::Rooms(version) => release.rooms = Arc::new(version),
            Self::Messages(version) => release.messages = Arc::new(version),
            Self::Events(version) => release.events = Arc::new(version),
        }
        release
    }
}

/// Loads `bytes` as a version of `handler` and tries it. Takes as long as compiling does: not for a worker.
///
/// # Errors
///
/// Every reason why the file is not such a handler, or the fault of the trial.
pub(super) fn load(
    sandbox: &Arc<Sandbox>,
    handler: HandlerKind,
    bytes: &[u8],
    settings: &Arc<SettingsMap>,
) -> Result<Loaded, LoadError> {
    match handler {
        HandlerKind::Rooms => {
            let rooms = fit(sandbox, bytes, settings)?;
            try_rooms(&rooms)?;
            Ok(Loaded::Rooms(rooms))
        }
        HandlerKind::Messages => {
            let messages = fit(sandbox, bytes, settings)?;
            try_messages(&messages)?;
            Ok(Loaded::Messages(messages))
        }
        HandlerKind::Events => {
            let events = fit(sandbox, bytes, settings)?;
            try_events(&events)?;
            Ok(Loaded::Events(events))
        }
    }
}

/// Compiles, and holds the component against its world.
fn fit<E: Exports>(sandbox: &Arc<Sandbox>, bytes: &[u8], settings: &Arc<SettingsMap>) -> Result<Version<E>, LoadError> {
    let bytes_max = sandbox.limits().handler_file_bytes_max;
    if bytes.len() > bytes_max {
        return Err(LoadError::because(format!(
            "the file has {} bytes, more than handler_file_bytes_max = {bytes_max}",
            bytes.len()
        )));
    }
    match inspect::kind(bytes) {
        FileKind::Component => {}
        other => return Err(LoadError::because(other.to_string())),
    }
    let component =
        sandbox.compile(bytes).map_err(|error| LoadError::because(format!("it does not compile: {error:#}")))?;
    let misfits = inspect::misfits(&component, sandbox.engine(), E::KIND);
    if !misfits.is_empty() {
        return Err(LoadError(misfits.iter().map(ToString::to_string).collect()));
    }
    let linked =
        sandbox.link(&component).map_err(|error| LoadError::because(format!("it does not link: {error:#}")))?;
    Ok(Version::new(VersionId::of(bytes, settings), linked, Arc::clone(settings), Arc::clone(sandbox)))
}

fn someone() -> User {
    User {
        id: "trial".to_owned(),
        nickname: "시험".to_owned(),
        email: "trial@example.com".to_owned(),
        profile_url: None,
    }
}

fn try_rooms(rooms: &Version<RoomExports>) -> Result<(), LoadError> {
    let request = RoomRequest { name: Some("trial".to_owned()), post_id: None };
    tried(rooms.create(&request, Some(&someone())).map(drop))
}

fn try_messages(messages: &Version<MessageExports>) -> Result<(), LoadError> {
    let frame = Frame::Text(r#"{"type":"chat.message","message":"trial"}"#);
    tried(messages.receive(&someone(), RoomId(1), frame).map(drop))
}

fn try_events(events: &Version<EventExports>) -> Result<(), LoadError> {
    let message = Message {
        id: MessageId(1),
        room: RoomId(1),
        seq: Seq(1),
        sender: Arc::new(someone()),
        draft: Draft { text: "trial".to_owned(), ..Draft::default() },
        created_at: Timestamp::now(),
    };
    tried(events.message(&message).map(drop))?;
    let refusal = Refusal::new("trial", None, "a trial");
    tried(events.refusal(&refusal).map(drop))
}

fn tried(outcome: Result<(), super::Fault>) -> Result<(), LoadError> {
    outcome.map_err(|fault| {
        let printed = fault.printed.as_deref().map(|text| format!(" (it printed: {text})")).unwrap_or_default();
        LoadError::because(format!("the trial call failed: {}{printed}", fault.cause))
    })
}
