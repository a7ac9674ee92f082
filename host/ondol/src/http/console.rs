//! The console's files, embedded. They hold no data: the page asks the admin API, as any client does.

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::answer::{self, Answer};

/// Where the page is.
pub(super) const PATH: &str = "/console/";

/// The page may load its own files and call its own server, and no other page may show it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

macro_rules! files {
    ($($path:literal => $type:ident, $file:literal;)+) => {
        /// The file of the page at a path, if there is one.
        pub(super) fn file(path: &str) -> Option<Answer> {
            let (content_type, body): (&'static str, &'static [u8]) = match path {
                $($path => ($type, include_bytes!($file)),)+
                _ => return None,
            };
            let mut answer = answer::bytes(StatusCode::OK, content_type, Bytes::from_static(body));
            guard(&mut answer);
            answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            Some(answer)
        }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

// The chat page's colours and its way with languages are the console's as well.
files! {
    "/console/" => HTML, "console/index.html";
    "/console/page.css" => CSS, "page/page.css";
    "/console/console.css" => CSS, "console/console.css";
    "/console/figures.css" => CSS, "console/figures.css";
    "/console/console.js" => JS, "console/console.js";
    "/console/confirm.js" => JS, "console/confirm.js";
    "/console/deploy.js" => JS, "console/deploy.js";
    "/console/dom.js" => JS, "console/dom.js";
    "/console/evidence.js" => JS, "console/evidence.js";
    "/console/figures.js" => JS, "console/figures.js";
    "/console/files.js" => JS, "console/files.js";
    "/console/handlers.js" => JS, "console/handlers.js";
    "/console/language.js" => JS, "page/language.js";
    "/console/log.js" => JS, "console/log.js";
    "/console/overview.js" => JS, "console/overview.js";
    "/console/plot.js" => JS, "console/plot.js";
    "/console/releases.js" => JS, "console/releases.js";
    "/console/rollouts.js" => JS, "console/rollouts.js";
    "/console/server.js" => JS, "console/server.js";
    "/console/texts.js" => JS, "console/texts.js";
}

/// Sends a browser that asks for `path` to the page.
pub(super) fn redirect(path: &str) -> Option<Answer> {
    if !matches!(path, "/" | "/console") {
        return None;
    }
    let mut answer = Response::new(http_body_util::Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::FOUND;
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static(PATH));
    guard(&mut answer);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(answer)
}

/// The headers by which a browser keeps to the page's own files.
fn guard(answer: &mut Answer) {
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
}
