//! One request to the admin API, for the command line. Knows HTTP, and nothing of what the request means.

use std::path::PathBuf;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::config::{AdminAddress, Token};
use crate::tls;

/// The largest response that is read.
const RESPONSE_BYTES_MAX: usize = 67_108_864;

/// A request to the admin API.
#[derive(Debug, Default)]
pub struct AdminRequest {
    /// The HTTP method.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// The JSON body, if there is one.
    pub body: Option<Value>,
    /// The name that the history shows for the caller.
    pub actor: Option<String>,
}

impl AdminRequest {
    /// Adds a field to its body.
    pub fn put(&mut self, name: &str, value: Value) {
        if let Some(Value::Object(body)) = &mut self.body {
            body.insert(name.to_owned(), value);
        }
    }
}

/// The server that a request is for.
#[derive(Debug)]
pub struct AdminServer {
    /// The address of its admin API.
    pub address: AdminAddress,
    /// The token, if it requires one.
    pub token: Option<Token>,
    /// The file of the authority that vouches for its certificate. None: those of the system do.
    pub ca: Option<PathBuf>,
}

/// Sends a request and returns the status and the body of the response.
///
/// # Errors
///
/// When the connection fails, the server's certificate is not trusted, or the response is not JSON.
pub async fn send(server: &AdminServer, request: AdminRequest) -> anyhow::Result<(u16, Value)> {
    let AdminServer { address, token, ca } = server;
    let (token, context) =
        (token.as_ref(), || format!("cannot connect to {address}: is the server running with --admin?"));
    match address {
        AdminAddress::Tcp(tcp) => exchange(TcpStream::connect(tcp).await.with_context(context)?, token, request).await,
        AdminAddress::Http { host, port } => {
            exchange(TcpStream::connect((host.as_str(), *port)).await.with_context(context)?, token, request).await
        }
        AdminAddress::Https { host, port } => {
            let tls = TlsConnector::from(tls::client(ca.as_deref())?);
            let name = ServerName::try_from(host.clone()).with_context(|| format!("{host} is not a host"))?;
            let tcp = TcpStream::connect((host.as_str(), *port)).await.with_context(context)?;
            let stream = tls.connect(name, tcp).await;
            let stream = stream.with_context(|| {
                format!("no trusted connection to {address}; --admin-ca FILE names the authority of its certificate")
            })?;
            exchange(stream, token, request).await
        }
        AdminAddress::Unix(path) => {
            exchange(UnixStream::connect(path).await.with_context(context)?, token, request).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    token: Option<&Token>,
    AdminRequest { method, target, body, actor }: AdminRequest,
) -> anyhow::Result<(u16, Value)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "ondol")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.secret()));
    }
    if let Some(actor) = actor {
        request = request.header("x-ondol-actor", actor);
    }
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await.context("no response")?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the response is incomplete: {error}"))?.to_bytes();
    Ok((status, serde_json::from_slice(&body).context("the response is not JSON: is this the admin API?")?))
}
