//! The built-in calls that every version has to answer before it is active, and one for each handler that checks
//! whether it still answers. A refusal is an answer here: what is allowed is the handler's business.

use std::sync::Arc;

use ondol_host_model::{Draft, Frame, Message, MessageId, Refusal, RoomId, RoomRequest, Seq, Speaker, Timestamp, User};

use crate::run::fault::Fault;
use crate::run::version_set::VersionSet;
use crate::run::versions::{EventsVersion, MessagesVersion, RoomsVersion};

/// Rooms with and without a name, a post and a creator.
pub(crate) fn rooms(rooms: &RoomsVersion) -> Result<(), Fault> {
    let names = [Some("trial"), None, Some(" "), Some("시험 🍲")];
    for (name, post_id) in names.into_iter().zip([None, Some(1), None, Some(u64::MAX)]) {
        let request = RoomRequest { name: name.map(str::to_owned), post_id };
        let creator = post_id.is_none().then(someone);
        drop(rooms.create(&request, creator.as_ref())?);
    }
    Ok(())
}

/// Frames that clients send, and some that they should not.
pub(crate) fn messages(messages: &MessagesVersion) -> Result<(), Fault> {
    let frames = [
        Frame::Text(r#"{"type":"chat.message","message":"trial"}"#),
        Frame::Text(r#"{"type":"chat.message","message":"시험 🍲","client_id":"trial","parent":1}"#),
        Frame::Text(r#"{"type":"trial"}"#),
        Frame::Text("{"),
        Frame::Text(""),
        Frame::Binary(&[0, 159, 146, 150]),
        Frame::Body(r#"{"message":"trial","room":1}"#),
    ];
    let speaker = speaker();
    for frame in frames {
        drop(messages.receive(&speaker, RoomId(1), frame)?);
    }
    Ok(())
}

/// Every kind of event.
pub(crate) fn events(events: &EventsVersion) -> Result<(), Fault> {
    let whole = Draft {
        text: "시험 🍲 \" \\ \u{7f}".to_owned(),
        client_id: Some("trial".to_owned()),
        parent: Some(MessageId(1)),
        extra: Some("{}".to_owned()),
    };
    for draft in [trial(), whole] {
        events.message(&message(draft))?;
    }
    events.join(RoomId(1), &someone())?;
    events.leave(RoomId(1), &someone())?;
    events.refusal(&Refusal::new("trial", Some("message"), "a trial"))?;
    Ok(())
}

/// Calls each of these versions once, and returns the faults of those that do not answer.
pub(crate) fn unanswered(versions: &VersionSet) -> Vec<Fault> {
    let VersionSet { rooms, messages, events } = versions;
    let create = rooms.create(&RoomRequest { name: Some("trial".to_owned()), post_id: None }, None).map(drop);
    let frame = Frame::Text(r#"{"type":"chat.message","message":"trial"}"#);
    let receive = messages.receive(&speaker(), RoomId(1), frame).map(drop);
    let message = events.message(&message(trial())).map(drop);
    [create, receive, message].into_iter().filter_map(Result::err).collect()
}

fn someone() -> User {
    User {
        id: "trial".to_owned(),
        nickname: "시험".to_owned(),
        email: "trial@example.com".to_owned(),
        profile_url: None,
    }
}

fn speaker() -> Arc<Speaker> {
    Arc::new(Speaker::new(someone()))
}

fn trial() -> Draft {
    Draft { text: "trial".to_owned(), ..Draft::default() }
}

fn message(draft: Draft) -> Message {
    let (id, room, seq) = (MessageId(1), RoomId(1), Seq(1));
    Message { id, room, seq, sender: speaker(), draft, created_at: Timestamp::now(), origin: None }
}
