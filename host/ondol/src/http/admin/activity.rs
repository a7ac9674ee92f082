//! What the server did in the last hour.

use hyper::Request;

use super::{AdminApi, number, ok};
use crate::http::answer::{Answer, HttpError};
use crate::http::body::Body;

impl AdminApi {
    /// `GET /v1/activity?since=`
    pub(super) fn activity(&self, request: &Request<Body>) -> Result<Answer, HttpError> {
        ok(&self.chat.activity(number(request, "since")?))
    }
}
