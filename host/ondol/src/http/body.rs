//! The body of a request: read within a size and a time, or let pass unread.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::{HeaderMap, Request, header};

use super::answer::HttpError;

/// The most that is read of a body after its request was refused, and for how long.
const REST_BYTES_MAX: usize = 1_048_576;
const REST_MAX: Duration = Duration::from_secs(10);

/// A limit: its name, for the error, and its value.
type Limit<T> = (&'static str, T);

/// A body that is still unread. Once it is dropped, a bounded rest of it is read while the response is sent: a client
/// that still sends would not read the response if the connection closed meanwhile.
pub(super) struct Body {
    incoming: Option<Incoming>,
    /// The client sends it after `100 Continue`, which goes out with the first read.
    is_held_back: bool,
}

impl Body {
    /// Takes the body of a request.
    pub(super) fn of(request: Request<Incoming>) -> Request<Self> {
        let is_held_back = request.headers().contains_key(header::EXPECT);
        request.map(|incoming| Self { incoming: Some(incoming), is_held_back })
    }

    /// The whole body, within a limit of bytes and one of milliseconds.
    pub(super) async fn read(
        mut self,
        (bytes_limit, bytes_max): Limit<usize>,
        (ms_limit, ms_max): Limit<u64>,
    ) -> Result<Bytes, HttpError> {
        let Some(incoming) = &mut self.incoming else { return Ok(Bytes::new()) };
        let too_large = || HttpError::BodyTooLarge { limit: bytes_limit, bytes_max };
        // A body that announces too large a size is refused before it arrives.
        if incoming.size_hint().lower() > bytes_max as u64 {
            return Err(too_large());
        }
        self.is_held_back = false;
        let body = Limited::new(incoming, bytes_max).collect();
        match tokio::time::timeout(Duration::from_millis(ms_max), body).await {
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            outcome => {
                self.incoming = None;
                match outcome {
                    Ok(Ok(body)) => Ok(body.to_bytes()),
                    Ok(Err(_)) => Err(HttpError::Parse("the body ended too early".to_owned())),
                    Err(_) => Err(HttpError::BodyTimeout { limit: ms_limit, ms_max }),
                }
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let Some(rest) = self.incoming.take().filter(|rest| !self.is_held_back && !rest.is_end_stream()) else {
            return;
        };
        tokio::spawn(tokio::time::timeout(REST_MAX, Limited::new(rest, REST_BYTES_MAX).collect()));
    }
}

/// Whether a body is encoded, such as by gzip (RFC 9110, section 8.4).
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// Whether the content type is JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
