//! The documents for tools and a page that shows them, embedded. They are the same for every server of this version, so anyone
//! may read them.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use super::answer::{self, Answer};

/// The page loads only its own files and the documents.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
/// RFC 9512.
const YAML: &str = "application/yaml";
const JSON: &str = "application/json";

macro_rules! page {
    ($file:literal) => {
        include_bytes!(concat!("docs/", $file))
    };
}

macro_rules! yaml {
    ($name:literal) => {
        include_bytes!(concat!("../../../../docs/", $name, ".yaml"))
    };
}

/// The same documents, as the build has written them.
macro_rules! json {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".json"))
    };
}

/// The file at a path, if there is one.
pub(super) fn file(path: &str) -> Option<Answer> {
    let (content_type, body): (&'static str, &'static [u8]) = match path {
        "/docs" | "/docs/" => (HTML, page!("index.html")),
        "/docs/docs.css" => (STYLE, page!("docs.css")),
        "/docs/docs.js" => (SCRIPT, page!("docs.js")),
        "/docs/dom.js" => (SCRIPT, page!("dom.js")),
        "/docs/operation.js" => (SCRIPT, page!("operation.js")),
        "/docs/schema.js" => (SCRIPT, page!("schema.js")),
        "/docs/openapi.yaml" => (YAML, yaml!("openapi")),
        "/docs/openapi-admin.yaml" => (YAML, yaml!("openapi-admin")),
        "/docs/asyncapi.yaml" => (YAML, yaml!("asyncapi")),
        "/docs/openapi.json" => (JSON, json!("openapi")),
        "/docs/openapi-admin.json" => (JSON, json!("openapi-admin")),
        "/docs/asyncapi.json" => (JSON, json!("asyncapi")),
        _ => return None,
    };
    let mut answer = answer::bytes(StatusCode::OK, content_type, Bytes::from_static(body));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(answer)
}
