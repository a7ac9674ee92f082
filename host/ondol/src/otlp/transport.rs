//! One request to a collector: `POST v1/traces` with a body in Protobuf (OTLP 1.x, "OTLP/HTTP").

use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::tls;

/// Where a collector is.
pub(super) struct Collector {
    host: String,
    port: u16,
    /// Host and port as the request names them.
    authority: String,
    path: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Collector {
    pub(super) fn new(address: &Url) -> anyhow::Result<Self> {
        let host = match address.host().context("otlp: no host")? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let tls = (address.scheme() == "https").then(|| tls::client(None)).transpose().context("otlp")?;
        Ok(Self {
            host,
            port: address.port_or_known_default().context("otlp: no port")?,
            authority: address.authority().to_owned(),
            path: format!("{}/v1/traces", address.path().trim_end_matches('/')),
            tls,
        })
    }

    /// Sends a body. A connection of its own: batches are seldom.
    pub(super) async fn send(&self, body: Vec<u8>) -> anyhow::Result<()> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.context("cannot connect")?;
        match &self.tls {
            None => self.exchange(tcp, body).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone())?;
                let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await.context("no TLS")?;
                self.exchange(stream, body).await
            }
        }
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        body: Vec<u8>,
    ) -> anyhow::Result<()> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::post(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::CONNECTION, "close");
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await;
        connection.abort();
        let status = answer.context("no answer")?.status();
        if !status.is_success() {
            bail!("it answers {}", status.as_u16());
        }
        Ok(())
    }
}
