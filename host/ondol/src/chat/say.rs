//! A frame's way from its connection to its room's queue.

use std::sync::Arc;

use serde::Deserialize;

use super::claims::{Claim, Waiter};
use super::figures;
use super::reply::{Reply, SayError};
use super::room_queue::RoomQueue;
use super::ticket::{Accepted, Ticket};
use ondol_host_handlers::Release;
use ondol_host_model::{Action, Draft, Frame, Message, Refusal, Speaker};
use ondol_host_rooms::InFlight;
use ondol_host_store::StoreError;

/// The characters that a client's own id may have.
const CLIENT_ID_CHARS_MAX: usize = 64;

/// Handles a frame where its room has its home. The reply hears the outcome, unless the frame was relayed or ignored.
pub(super) async fn say(
    room: &Arc<RoomQueue>,
    release: Arc<Release>,
    sender: &Arc<Speaker>,
    frame: Frame<'_>,
    reply: Reply,
) {
    if let Some(reply) = room.forward(sender, frame, reply) {
        say_here(room, release, sender, frame, reply).await;
    }
}

/// Handles a frame here: its release accepts it as a message or a relay, ignores or refuses it. The reply hears the outcome, unless
/// the frame was relayed or ignored.
pub(super) async fn say_here(
    room: &Arc<RoomQueue>,
    release: Arc<Release>,
    sender: &Arc<Speaker>,
    frame: Frame<'_>,
    reply: Reply,
) {
    match release.receive(&reply.request, sender, room.id, frame) {
        Ok(Ok(Action::Post(draft))) => {
            figures::accepted();
            let Some(accepted) = accept(room, &reply, bytes(&draft)) else {
                return reply.failed(SayError::Busy, draft.client_id.as_deref());
            };
            if draft.parent.is_none() && draft.client_id.is_none() {
                return room.post(Arc::clone(sender), draft, release, Ticket::of_message(reply, accepted, None));
            }
            // In memory of its own: every connection's task is as large as all that it may wait for.
            Box::pin(look_up_and_post(room, Arc::clone(sender), draft, release, reply, accepted)).await;
        }
        Ok(Ok(Action::Relay(payload))) => {
            let accepted = accept(room, &reply, payload.len());
            if accepted.is_some_and(|accepted| room.relay(payload, accepted)) {
                figures::relayed();
                reply.done();
            } else {
                reply.failed(SayError::Busy, None);
            }
        }
        Ok(Ok(Action::Ignore)) => reply.done(),
        Ok(Err(refusal)) => match client_id(frame) {
            None => reply.refused(&release, room.id, refusal, None),
            Some(client_id) => Box::pin(refuse_named(room, sender, &release, reply, refusal, client_id)).await,
        },
        Err(fault) => reply.faulted(&fault, room.pipeline.limits.handler_overrun_pause_ms, None),
    }
}

/// Counts what was accepted. None: too much is in flight already. A connection whose room is too full is not read, and
/// who posts by request is told.
fn accept(room: &RoomQueue, reply: &Reply, bytes: usize) -> Option<Accepted> {
    match reply.flow() {
        Some(flow) => room.pipeline.accept(flow, bytes),
        None if room.may_speak(false) => room.pipeline.accept(&room.flow, bytes),
        None => None,
    }
}

/// Posts a draft to its room, once what it refers to has been looked up.
async fn look_up_and_post(
    room: &Arc<RoomQueue>,
    sender: Arc<Speaker>,
    draft: Draft,
    release: Arc<Release>,
    reply: Reply,
    accepted: Accepted,
) {
    let store = &room.pipeline.store;
    if let Some(parent) = draft.parent {
        match store.has_message(room.id, parent).await {
            Ok(true) => {}
            Ok(false) => {
                let message = "parent: no such message in this room";
                let refusal = Refusal::new("parent_not_found", Some("parent"), message);
                return reply.refused(&release, room.id, refusal, draft.client_id.as_deref());
            }
            Err(error) => return reply.failed(unread(room, &error), draft.client_id.as_deref()),
        }
    }
    let Some(client_id) = draft.client_id.clone() else {
        return room.post(sender, draft, release, Ticket::of_message(reply, accepted, None));
    };
    let (queued, in_flight) = accepted.into_parts();
    let (claim, waiter, _placing) = match room.claims.claim(&sender.id, &client_id, Waiter { reply, in_flight }) {
        Ok(claimed) => claimed,
        // The outcome of the first frame with this id answers both.
        Err(placed) => {
            drop(queued);
            return placed.wait().await;
        }
    };
    // Claimed first and looked up then: a message that is not in flight any more is in the database by now.
    match store.by_client_id(room.id, sender.id.clone(), client_id.clone()).await {
        Ok(None) => room.post(sender, draft, release, ticket(waiter, queued, claim)),
        Ok(Some(first)) => {
            for waiter in claim.end() {
                repeat(room, &first, &release, waiter);
            }
            repeat(room, &first, &release, waiter);
        }
        Err(error) => {
            ticket(waiter, queued, claim).fail(&unread(room, &error), Some(&client_id));
        }
    }
}

/// Tells of a refusal, unless a message is known under the frame's own id: a handler may have become stricter since that
/// was stored, and its sender is still to hear that it was.
async fn refuse_named(
    room: &Arc<RoomQueue>,
    sender: &Arc<Speaker>,
    release: &Release,
    reply: Reply,
    refusal: Refusal,
    client_id: String,
) {
    let Some(accepted) = accept(room, &reply, 0) else {
        return reply.failed(SayError::Busy, Some(&client_id));
    };
    let (_queued, in_flight) = accepted.into_parts();
    let waiter = match room.claims.wait(&sender.id, &client_id, Waiter { reply, in_flight }) {
        Ok(waiter) => waiter,
        Err(placed) => return placed.wait().await,
    };
    match room.pipeline.store.by_client_id(room.id, sender.id.clone(), client_id.clone()).await {
        Ok(Some(first)) => repeat(room, &first, release, waiter),
        Ok(None) => waiter.reply.refused(release, room.id, refusal, Some(&client_id)),
        Err(error) => {
            tracing::error!(room = room.id.0, %error, "client_id of a refused frame in room {} not readable: {error}", room.id);
            waiter.reply.refused(release, room.id, refusal, Some(&client_id));
        }
    }
}

/// The ticket of a message that has claimed its id.
fn ticket(Waiter { reply, in_flight }: Waiter, queued: InFlight, claim: Claim) -> Ticket {
    Ticket::of_message(reply, Accepted::new(queued, in_flight), Some(claim))
}

/// Answers a repeated message with the first one's event.
fn repeat(room: &RoomQueue, first: &Message, release: &Release, Waiter { reply, in_flight }: Waiter) {
    if let Err(failed) =
        reply.repeated(&room.members, first, in_flight, |request| release.message(Some(request), first))
    {
        let (reply, fault) = *failed;
        let pause_ms = room.pipeline.limits.handler_overrun_pause_ms;
        reply.faulted(&fault, pause_ms, first.draft.client_id.as_deref());
    }
}

/// The database did not answer.
fn unread(room: &RoomQueue, error: &StoreError) -> SayError {
    tracing::error!(room = room.id.0, %error, "message of room {} not stored: what it refers to is not readable: {error}", room.id);
    SayError::NotStored
}

/// What a draft holds.
fn bytes(draft: &Draft) -> usize {
    draft.text.len() + draft.extra.as_ref().map_or(0, String::len)
}

/// The client's own id in a frame that a handler or a rate limit refused, if it reads as one. Only then does the host read a
/// frame; see docs/decisions/0002-client-id-of-refused-frames.md.
pub(crate) fn client_id(frame: Frame<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        client_id: Option<serde_json::Value>,
    }
    let (Frame::Text(text) | Frame::Body(text)) = frame else { return None };
    // A byte order mark does not count (RFC 8259, section 8.1).
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // An array would be read as one as well.
    if !text.trim_ascii_start().starts_with('{') {
        return None;
    }
    match serde_json::from_str(text) {
        Ok(Named { client_id: Some(serde_json::Value::String(id)) }) => {
            (1..=CLIENT_ID_CHARS_MAX).contains(&id.chars().count()).then_some(id)
        }
        _ => None,
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frames_client_id_is_read_where_it_is_one() {
        let read = |text: &str| client_id(Frame::Text(text));
        assert_eq!(read(r#" {"a":{"client_id":"inner"},"client_id":"a\n1"}"#).as_deref(), Some("a\n1"));
        assert_eq!(client_id(Frame::Body(r#"{"client_id":"b"}"#)).as_deref(), Some("b"));
        assert_eq!(client_id(Frame::Binary(br#"{"client_id":"b"}"#)), None);
        for none in ["", "7", r#"["x"]"#, r#"{"client_id":7}"#, r#"{"client_id":""}"#, r#"{"client_id":"x""#] {
            assert_eq!(read(none), None, "{none}");
        }
        assert_eq!(read(r#"{"client_id":"a","client_id":"b"}"#), None, "one given twice is none");
        let long = |count: usize| read(&serde_json::json!({"client_id": "앤".repeat(count)}).to_string());
        assert!(long(64).is_some() && long(65).is_none());
    }
}
