//! Reads the body of a request within a size and a time.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::{HeaderMap, header};

use super::answer::HttpError;

/// A limit: its name, for the error, and its value.
type Limit<T> = (&'static str, T);

/// A whole body, within a limit of bytes and one of milliseconds.
pub(super) async fn read(
    body: Incoming,
    (bytes_limit, bytes_max): Limit<usize>,
    (ms_limit, ms_max): Limit<u64>,
) -> Result<Bytes, HttpError> {
    let too_large = || HttpError::BodyTooLarge { limit: bytes_limit, bytes_max };
    // A body that announces too large a size is refused before it arrives.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    let body = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(Duration::from_millis(ms_max), body).await {
        Err(_) => Err(HttpError::BodyTimeout { limit: ms_limit, ms_max }),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(HttpError::Parse("the body ended too early".to_owned())),
        Ok(Ok(body)) => Ok(body.to_bytes()),
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
