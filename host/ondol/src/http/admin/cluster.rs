//! The hosts of the chat: what each of them has, the home of a room, and the drain of one of them.

use hyper::Request;
use percent_encoding::percent_decode_str;

use super::{AdminApi, Caller, ok, recorded};
use crate::chat::{ClusterError, ReleaseError};
use crate::http::answer::{Answer, HttpError};
use crate::http::body::Body;
use ondol_host_model::RoomId;

impl AdminApi {
    /// `GET /v1/cluster`
    pub(super) fn cluster(&self) -> Result<Answer, HttpError> {
        ok(&self.chat.cluster().map_err(failed)?)
    }

    /// `GET /v1/cluster/rooms/{room}`
    pub(super) async fn home_of(&self, room: &str) -> Result<Answer, HttpError> {
        let room: u64 = room.parse().map_err(|_| HttpError::NotFound)?;
        ok(&self.chat.home_of(RoomId(room)).await.map_err(failed)?)
    }

    /// `POST /v1/cluster/hosts/{host}/drain?reason=`. Its body is not read.
    pub(super) async fn drain_host(
        &self,
        request: &Request<Body>,
        caller: Caller,
        host: &str,
    ) -> Result<Answer, HttpError> {
        let order = recorded(self.order(request, caller)?)?;
        let host = percent_decode_str(host).decode_utf8().map_err(|_| HttpError::NotFound)?;
        let begun = self.chat.drain_host(&host).await.map_err(failed)?;
        let (actor, reason) = (&order.actor, &order.reason);
        tracing::info!(actor, reason, %host, "{actor} has the host {host} drained");
        ok(&begun)
    }
}

fn failed(error: ClusterError) -> HttpError {
    match error {
        ClusterError::Chat(error) => error.into(),
        ClusterError::Silent(..) => HttpError::NotReady(error.to_string()),
        ClusterError::Alone | ClusterError::NoRoom(_) | ClusterError::NoHost { .. } => {
            ReleaseError::Unknown(error.to_string()).into()
        }
    }
}
