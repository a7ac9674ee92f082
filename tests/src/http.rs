//! A small HTTP/1.1 client that shows an answer unchanged: the status, every header, the bytes of the body. One
//! connection for each request. Knows nothing of chat.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{raw::RawSocket, user::User};

/// A request under construction.
#[derive(Debug)]
pub struct Request {
    address: String,
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// A request to `address` (host and port) for `target` (path and query).
    #[must_use]
    pub fn new(address: &str, method: &str, target: &str) -> Self {
        Self {
            address: address.into(),
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header, even one that exists already.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Adds the identity headers of `user`.
    #[must_use]
    pub fn identity(mut self, user: impl Into<User>) -> Self {
        for (name, value) in user.into().headers() {
            self = self.header(name, value);
        }
        self
    }

    /// Sets the body with the content type of JSON. It may be anything.
    #[must_use]
    pub fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.body("application/json", body)
    }

    /// Sets the body and its content type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Type", content_type).header("Content-Length", length)
    }

    /// The request's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.address).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it on a connection of its own and reads the answer.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn send(self) -> Result<Answer> {
        let mut socket = RawSocket::connect(&self.address).await?;
        // A server may answer and close before it has read everything: the answer is what counts.
        let _ = socket.send(self.bytes()).await;
        socket.read_answer(&self.method).await.with_context(|| format!("{} {}", self.method, self.target))
    }
}

/// An answer, unchanged.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers in their order, with names in their original case.
    pub headers: Vec<(String, String)>,
    /// The body without its transfer encoding.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. Null when it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Checks the status, and returns the body as JSON.
    ///
    /// # Errors
    /// When the status or the content type is different.
    pub fn expect(&self, status: u16) -> Result<Value> {
        ensure!(self.status == status, "expected {status}, got {self}");
        let kind = self.header("content-type").unwrap_or_default();
        ensure!(kind.starts_with("application/json"), "expected JSON, got the type {kind:?}: {self}");
        serde_json::from_slice(&self.body).with_context(|| format!("the body is not JSON: {self}"))
    }

    /// Checks that this is the error `{"detail": "…", "code": code}`, and returns the detail.
    ///
    /// # Errors
    /// When it is something else.
    pub fn expect_detail(&self, status: u16, code: &str) -> Result<String> {
        let body = self.expect(status)?;
        let keys: Vec<_> = body.as_object().map(|body| body.keys().cloned().collect()).unwrap_or_default();
        // A fault carries the id of the request as well.
        let length = if code == "handler_fault" { 3 } else { 2 };
        ensure!(keys.len() == length && body["code"] == code, "expected a detail with the code {code:?}, got {self}");
        match body["detail"].as_str() {
            Some(detail) if !detail.is_empty() => Ok(detail.to_owned()),
            _ => bail!("expected a detail, got {self}"),
        }
    }

    /// Checks that this is the error `{field: ["…"], "code": "…"}` with status 400, and returns the code.
    ///
    /// # Errors
    /// When it is something else.
    pub fn expect_field(&self, field: &str) -> Result<String> {
        let body = self.expect(400)?;
        let reason = body[field].get(0).and_then(Value::as_str).unwrap_or_default();
        ensure!(!reason.is_empty(), "expected a reason for {field:?}, got {self}");
        ensure!(body.as_object().is_some_and(|body| body.len() == 2), "expected a field and a code, got {self}");
        body["code"].as_str().map(ToOwned::to_owned).with_context(|| format!("no code in {self}"))
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut headers = String::new();
        for (name, value) in &self.headers {
            write!(headers, "{name}: {value}; ")?;
        }
        let mut body = self.text();
        if let Some((end, _)) = body.char_indices().nth(600) {
            body.truncate(end);
        }
        write!(f, "{} [{headers}] {body}", self.status)
    }
}

/// A path with its characters beyond ASCII percent-encoded, and all others unchanged.
#[must_use]
pub fn ascii(path: &str) -> String {
    path.chars().map(|c| if c.is_ascii() { c.to_string() } else { crate::user::percent(&c.to_string()) }).collect()
}
