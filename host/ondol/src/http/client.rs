//! One request to the operator's API, for the command line. Knows the wire, and nothing of what is asked.

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::config::{AdminAddress, Token};

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 67_108_864;

/// A question to the operator's API.
#[derive(Debug, Default)]
pub struct Question {
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// The body, if there is one.
    pub body: Option<Value>,
    /// Who asks, in their own words.
    pub actor: Option<String>,
}

/// Asks, and gives the status and the answer.
///
/// # Errors
///
/// When nobody answers, or not with JSON.
pub async fn ask(address: &AdminAddress, token: Option<&Token>, question: Question) -> anyhow::Result<(u16, Value)> {
    let nobody = || format!("nobody answers at {address}");
    match address {
        AdminAddress::Tcp(tcp) => converse(TcpStream::connect(tcp).await.with_context(nobody)?, token, question).await,
        AdminAddress::Unix(path) => {
            converse(UnixStream::connect(path).await.with_context(nobody)?, token, question).await
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    token: Option<&Token>,
    question: Question,
) -> anyhow::Result<(u16, Value)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(question.method)
        .uri(question.target)
        .header(header::HOST, "ondol")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.secret()));
    }
    if let Some(actor) = question.actor {
        request = request.header("x-ondol-actor", actor);
    }
    let body = question.body.map(|body| body.to_string()).unwrap_or_default();
    let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await.context("no answer")?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("half an answer: {error}"))?.to_bytes();
    Ok((status, serde_json::from_slice(&body).context("the answer is not JSON: is this the operator's API?")?))
}
