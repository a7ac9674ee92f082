//! What becomes of a frame, up to where its room takes it.

use std::sync::Arc;

use serde::Deserialize;

use super::claims::Waiter;
use super::place::{Place, Post};
use super::reply::{self, Reply, SayError};
use super::work::Accepted;
use super::{Chat, ask};
use ondol_host_handlers::Release;
use ondol_host_model::{Action, Draft, Frame, Message, Refusal, Speaker};
use ondol_host_store::StoreError;

/// The characters that a client's own id may have.
const CLIENT_ID_CHARS_MAX: usize = 64;

impl Chat {
    /// What becomes of a frame. The reply hears of it, unless the frame was relayed or ignored.
    pub(super) async fn say(&self, place: &Arc<Place>, sender: &Arc<Speaker>, frame: Frame<'_>, reply: Reply) {
        let release = self.handlers.for_room(place.id);
        match ask::receive(&release, &reply.request, sender, place.id, frame) {
            Ok(Ok(Action::Post(draft))) => {
                let Some(accepted) = self.accept(place, &reply, bytes(&draft)) else {
                    return reply.failed(SayError::Busy, draft.client_id.as_deref());
                };
                let refers = draft.parent.is_some() || draft.client_id.is_some();
                let post = Post { sender: Arc::clone(sender), draft, release, reply, accepted, claim: None };
                if refers {
                    // In memory of its own: every connection's task is as large as all that it may wait for.
                    Box::pin(self.post_once_looked_up(place, post)).await;
                } else {
                    place.post(post);
                }
            }
            Ok(Ok(Action::Relay(payload))) => {
                let accepted = self.accept(place, &reply, payload.len());
                if accepted.is_some_and(|accepted| place.relay(payload, accepted)) {
                    reply.done();
                } else {
                    reply.failed(SayError::Busy, None);
                }
            }
            Ok(Ok(Action::Ignore)) => reply.done(),
            Ok(Err(refusal)) => match client_id(frame) {
                None => reply.refused(&release, place.id, refusal, None),
                Some(client_id) => {
                    Box::pin(self.refuse_named(place, sender, &release, reply, refusal, client_id)).await;
                }
            },
            Err(fault) => reply.faulted(place.id, &fault, self.work.limits.handler_overrun_pause_ms, None),
        }
    }

    /// Counts what was accepted. None: too much is on its way already. A connection whose room is too full is not read, and
    /// who posts by request is told.
    fn accept(&self, place: &Place, reply: &Reply, bytes: usize) -> Option<Accepted> {
        match reply.flow() {
            Some(flow) => self.work.accept(flow, bytes),
            None if place.may_hear(false) => self.work.accept(&place.flow, bytes),
            None => None,
        }
    }

    /// Gives a draft to its room, once what it refers to has been looked up.
    async fn post_once_looked_up(&self, place: &Arc<Place>, post: Post) {
        let client_id = post.draft.client_id.clone();
        if let Some(parent) = post.draft.parent {
            match self.work.store.has_message(place.id, parent).await {
                Ok(true) => {}
                Ok(false) => {
                    let message = "parent: no such message in this room";
                    let refusal = Refusal::new("parent_not_found", Some("parent"), message);
                    return post.reply.refused(&post.release, place.id, refusal, client_id.as_deref());
                }
                Err(error) => return post.fail(&unread(place, &error)),
            }
        }
        let Some(client_id) = client_id else { return place.post(post) };
        let Post { sender, draft, release, reply, accepted, claim: _ } = post;
        let (queued, in_flight) = accepted.apart();
        // The first one is on its way to the disk: what becomes of it answers both.
        let Ok((claim, waiter)) = place.claims.claim(&sender.id, &client_id, Waiter { reply, in_flight }) else {
            return;
        };
        let accepted = Accepted::of(queued, waiter.in_flight);
        let post = Post { sender, draft, release, reply: waiter.reply, accepted, claim: Some(claim) };
        // Claimed first and looked up then: whatever is not under way any more is in the database by now.
        match self.work.store.by_client_id(place.id, post.sender.id.clone(), client_id).await {
            Ok(None) => place.post(post),
            Ok(Some(first)) => {
                let waiting = post.claim.map(|claim| claim.end()).unwrap_or_default();
                for waiter in waiting {
                    self.repeat(place, first.clone(), &post.release, waiter.reply);
                }
                self.repeat(place, first, &post.release, post.reply);
            }
            Err(error) => post.fail(&unread(place, &error)),
        }
    }

    /// Tells of a refusal, unless a message is known under the frame's own id: a handler may have become stricter since that
    /// was stored, and its sender is still to hear that it was.
    async fn refuse_named(
        &self,
        place: &Arc<Place>,
        sender: &Arc<Speaker>,
        release: &Release,
        reply: Reply,
        refusal: Refusal,
        client_id: String,
    ) {
        let Some(accepted) = self.accept(place, &reply, 0) else {
            return reply.failed(SayError::Busy, Some(&client_id));
        };
        let (_queued, in_flight) = accepted.apart();
        let Some(Waiter { reply, in_flight: _in_flight }) =
            place.claims.wait(&sender.id, &client_id, Waiter { reply, in_flight })
        else {
            return;
        };
        match self.work.store.by_client_id(place.id, sender.id.clone(), client_id.clone()).await {
            Ok(Some(first)) => self.repeat(place, first, release, reply),
            Ok(None) => reply.refused(release, place.id, refusal, Some(&client_id)),
            Err(error) => {
                tracing::error!(room = place.id.0, %error, "a refused message's client_id could not be looked up");
                reply.refused(release, place.id, refusal, Some(&client_id));
            }
        }
    }

    /// Answers a repeated message with the first one's event.
    fn repeat(&self, place: &Place, first: Message, release: &Release, reply: Reply) {
        let Some(outbox) = reply.outbox() else { return reply.stored(first) };
        match ask::message(release, &reply.request, &first) {
            Ok(payload) => reply::send(outbox, &payload),
            Err(fault) => {
                let pause_ms = self.work.limits.handler_overrun_pause_ms;
                reply.faulted(place.id, &fault, pause_ms, first.draft.client_id.as_deref());
            }
        }
    }
}

/// The database did not answer.
fn unread(place: &Place, error: &StoreError) -> SayError {
    tracing::error!(room = place.id.0, %error, "a message was not taken: what it refers to could not be read");
    SayError::NotStored
}

/// What a draft holds.
fn bytes(draft: &Draft) -> usize {
    draft.text.len() + draft.extra.as_ref().map_or(0, String::len)
}

/// The client's own id in a frame that a handler refused, if it reads as one. Only then does the host read a frame; see
/// docs/decisions/0002-client-id-of-refused-frames.md.
fn client_id(frame: Frame<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        client_id: Option<serde_json::Value>,
    }
    let (Frame::Text(text) | Frame::Body(text)) = frame else { return None };
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
