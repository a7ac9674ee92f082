//! The chat page, embedded. Knows nothing of the chat: the page is a client like any other.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use super::answer::{self, Answer};

/// The content security policy of the page: it may load only its own files and, from the sources given, users' pictures.
///
/// # Errors
///
/// When a source is none. The configuration holds sources alone.
pub(super) fn policy(img_src: &[String]) -> anyhow::Result<HeaderValue> {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src {}; connect-src 'self' ws: wss:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        img_src.join(" ")
    );
    Ok(HeaderValue::from_str(&policy)?)
}

macro_rules! files {
    ($($path:literal => $type:literal, $file:literal;)+) => {
        /// The file of the page at a path, if there is one.
        pub(super) fn file(path: &str, policy: &HeaderValue) -> Option<Answer> {
            let (content_type, body): (&'static str, &'static [u8]) = match path {
                $($path => ($type, include_bytes!(concat!("page/", $file))),)+
                _ => return None,
            };
            let mut answer = answer::bytes(StatusCode::OK, content_type, Bytes::from_static(body));
            let headers = answer.headers_mut();
            headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
            headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            Some(answer)
        }
    };
}

files! {
    "/" => "text/html; charset=utf-8", "index.html";
    "/page.css" => "text/css; charset=utf-8", "page.css";
    "/page.js" => "text/javascript; charset=utf-8", "page.js";
    "/page/identity.js" => "text/javascript; charset=utf-8", "identity.js";
    "/page/language.js" => "text/javascript; charset=utf-8", "language.js";
    "/page/log.js" => "text/javascript; charset=utf-8", "log.js";
    "/page/room.js" => "text/javascript; charset=utf-8", "room.js";
    "/page/rooms.js" => "text/javascript; charset=utf-8", "rooms.js";
    "/page/server.js" => "text/javascript; charset=utf-8", "server.js";
    "/page/session.js" => "text/javascript; charset=utf-8", "session.js";
    "/page/texts.js" => "text/javascript; charset=utf-8", "texts.js";
}
