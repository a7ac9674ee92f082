//! Certificates, and connections with TLS: a tunnel for the clients that know none, and a client of HTTP/2. Knows nothing
//! of chat.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::tungstenite::{
    Bytes,
    http::{self, Method},
};

use crate::{
    deadline::within,
    http::Answer,
    setup::{Home, Setup},
};

/// The receive buffer of a tunnel's connection to the server. Small, so that the server meets full sockets.
const RECEIVE_BYTES: u32 = 4_096;

/// An authority of a story.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate for this machine, and its key.
#[derive(Debug)]
pub struct Issued {
    /// The certificate in PEM.
    pub certificate: String,
    /// The key in PEM.
    pub key: String,
    /// The certificate as a client receives it.
    pub der: CertificateDer<'static>,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "an authority of the stories");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// A new certificate for this machine.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn issue(&self) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() })
    }

    /// The authority's own certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A client that trusts it, for these protocols and versions of TLS.
    ///
    /// # Errors
    /// When a version is unknown.
    pub fn client(&self, protocols: &[&str], versions: &[&'static SupportedProtocolVersion]) -> Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone())?;
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions)?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Shakes hands for a protocol.
    ///
    /// # Errors
    /// When the server does not, or has another certificate.
    pub async fn connect(&self, address: &str, protocol: &str) -> Result<TlsStream<TcpStream>> {
        connect(&self.client(&[protocol], rustls::ALL_VERSIONS)?, address).await
    }

    /// Opens a tunnel to the server: what connects to the returned address speaks HTTP/1.1 over TLS with it.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn tunnel(&self, server: &str) -> Result<String> {
        self.tunnel_with(server, rustls::ALL_VERSIONS).await
    }

    /// The same with certain versions of TLS.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn tunnel_with(&self, server: &str, versions: &[&'static SupportedProtocolVersion]) -> Result<String> {
        let connector = self.client(&["http/1.1"], versions)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (connector, server) = (connector.clone(), server.clone());
                tokio::spawn(async move {
                    let mut stream = connect(&connector, &server).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut stream).await?;
                    anyhow::Ok(())
                });
            }
        });
        Ok(address)
    }
}

async fn connect(connector: &TlsConnector, address: &str) -> Result<TlsStream<TcpStream>> {
    let address: SocketAddr = address.parse()?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    let tcp = within("a connection", socket.connect(address)).await??;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    Ok(within("a TLS handshake", connector.connect(name, tcp)).await??)
}

impl Issued {
    /// Puts both files into a directory, as `NAME.pem` and `NAME.key`, each whole at once.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn place(&self, directory: &Path, name: &str) -> Result<()> {
        for (kind, text) in [("pem", &self.certificate), ("key", &self.key)] {
            replace(&directory.join(format!("{name}.{kind}")), text)?;
        }
        Ok(())
    }
}

/// Replaces a file by a whole other one.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(&new, path)?)
}

impl Setup {
    /// With TLS: the files `server.pem` and `server.key` in its directory, placed by [`furnish`].
    #[must_use]
    pub fn tls(self) -> Self {
        self.flag("--tls-certificate").flag("server.pem").flag("--tls-key").flag("server.key")
    }
}

/// Places a new certificate, for a server with [`Setup::tls`], and the authority's as `ca.pem`.
///
/// # Errors
/// When they cannot be written.
pub fn furnish(home: &Home, authority: &Authority) -> Result<()> {
    authority.issue()?.place(home.root(), "server")?;
    Ok(fs::write(home.root().join("ca.pem"), authority.pem())?)
}

/// A client of HTTP/2.
pub struct Http2 {
    requests: h2::client::SendRequest<Bytes>,
    /// The connection, until it ends.
    pub connection: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    /// Connects to a server.
    ///
    /// # Errors
    /// When it does not speak HTTP/2.
    pub async fn connect(authority: &Authority, address: &str) -> Result<Self> {
        let stream = authority.connect(address, "h2").await?;
        ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "no HTTP/2");
        let (requests, connection) = within("HTTP/2", h2::client::handshake(stream)).await??;
        let requests = requests.ready().await?;
        Ok(Self { requests, connection: tokio::spawn(connection) })
    }

    /// Sends a request to `https://localhost` and reads the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&mut self, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
        let mut request = http::Request::builder().method(method).uri(format!("https://localhost{target}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (answer, mut sending) = self.requests.send_request(request.body(())?, body.is_empty())?;
        if !body.is_empty() {
            sending.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
        }
        let (head, mut body) = within("an answer", answer).await??.into_parts();
        let mut bytes = Vec::new();
        while let Some(piece) = within("a body", body.data()).await? {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            bytes.extend_from_slice(&piece);
        }
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Answer { status: head.status.as_u16(), headers, body: bytes })
    }

    /// Sends the head of a `POST` with JSON whose body never comes, and returns the status of the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send_without_body(&mut self, target: &str) -> Result<u16> {
        let request =
            http::Request::post(format!("https://localhost{target}")).header("content-type", "application/json");
        let (answer, _sending) = self.requests.send_request(request.body(())?, false)?;
        Ok(within("an answer", answer).await??.status().as_u16())
    }

    /// Waits until the server lets another request begin, which takes its settings too.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&mut self) -> Result<&h2::client::SendRequest<Bytes>> {
        self.requests = within("a free stream", self.requests.clone().ready()).await??;
        Ok(&self.requests)
    }

    /// Waits until the server has closed the connection.
    ///
    /// # Errors
    /// When it does not, or not cleanly.
    pub async fn closed_by_server(self) -> Result<()> {
        // The sender is kept until then: without one, this end would close the connection.
        let ended = within("the end of the connection", self.connection).await;
        drop(self.requests);
        ended?.context("the task")?.context("a clean end")
    }
}
