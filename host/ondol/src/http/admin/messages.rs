//! Deleting messages: one by its room and `seq`, or all of a user.

use hyper::Request;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{AdminApi, Caller, number, ok, recorded};
use crate::chat::{ChatError, ReleaseError};
use crate::http::answer::{Answer, HttpError};
use crate::http::body::Body;
use ondol_host_model::{RoomId, Seq};

impl AdminApi {
    /// `DELETE /v1/rooms/{room}/messages/{seq}`
    pub(super) async fn delete_message(
        &self,
        request: &Request<Body>,
        caller: Caller,
        [room, seq]: [&str; 2],
    ) -> Result<Answer, HttpError> {
        let order = recorded(self.order(request, caller)?)?;
        let (Ok(room), Ok(seq)) = (room.parse(), seq.parse()) else { return Err(HttpError::NotFound) };
        let (actor, reason) = (&order.actor, &order.reason);
        // Before it begins: what fails half-way has an author as well.
        tracing::info!(actor, reason, room, seq, "{actor} deletes message {seq} of room {room}");
        let deleted = self.chat.delete_message(RoomId(room), Seq(seq)).await;
        deleted.map_err(|error| known(error, || format!("there is no message {seq} in room {room}")))?;
        tracing::info!(room, seq, "message {seq} of room {room} is deleted");
        ok(&json!({ "deleted": 1 }))
    }

    /// `DELETE /v1/users/{user_id}/messages?room=`
    pub(super) async fn delete_messages_of(
        &self,
        request: &Request<Body>,
        caller: Caller,
        user: &str,
    ) -> Result<Answer, HttpError> {
        let order = recorded(self.order(request, caller)?)?;
        let invalid = |_| HttpError::field("user_id", "invalid", "user_id: not UTF-8.");
        let user = percent_decode_str(user).decode_utf8().map_err(invalid)?;
        let user = ondol_text::nfc(&user).into_owned();
        let room = number(request, "room")?;
        let (actor, reason) = (&order.actor, &order.reason);
        // The id of a user may be their address.
        tracing::info!(actor, reason, "{actor} deletes the messages of a user");
        let deleted = self.chat.delete_messages_of(user, room.map(RoomId)).await;
        let deleted =
            deleted.map_err(|error| known(error, || format!("there is no room {}", room.unwrap_or_default())))?;
        tracing::info!(deleted, "{deleted} messages of a user are deleted");
        ok(&json!({ "deleted": deleted }))
    }
}

/// What is not there, by its name.
fn known(error: ChatError, name: impl FnOnce() -> String) -> HttpError {
    match error {
        ChatError::NotFound => ReleaseError::Unknown(name()).into(),
        error => error.into(),
    }
}
