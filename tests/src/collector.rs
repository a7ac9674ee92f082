//! An OpenTelemetry collector of a story: it takes, fails or never answers, and keeps the spans that it was sent. Knows OTLP
//! over HTTP and nothing of what is traced.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result};
use ondol_engines::free_address;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::deadline::until;

/// What it does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes it.
    Takes,
    /// Answers with this status.
    Fails(u16),
    /// Reads it and does not answer.
    Hangs,
}

/// A collector. It is gone once dropped.
#[derive(Debug)]
pub struct Collector {
    address: String,
    kept: Arc<Kept>,
    serving: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    connections: AtomicUsize,
    requests: Mutex<Vec<(String, Vec<u8>)>>,
}

/// A span as it was sent.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The trace, in hexadecimal digits.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// Its parent; empty if it has none.
    pub parent: String,
    /// What it is.
    pub name: String,
    /// Whether it answers a call from outside.
    pub is_server: bool,
    /// The description of its failure.
    pub error: Option<String>,
    /// The traces and spans that it is linked to.
    pub links: Vec<(String, String)>,
    /// Its attributes as text.
    pub fields: BTreeMap<String, String>,
    /// When it began and ended, in nanoseconds.
    pub times: (u64, u64),
}

impl Collector {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start(manner: Manner) -> Result<Self> {
        Self::at(&free_address(), manner).await
    }

    /// Starts one at an address, such as that of one that is gone.
    ///
    /// # Errors
    /// When the address is in use.
    pub async fn at(address: &str, manner: Manner) -> Result<Self> {
        let listener = TcpListener::bind(address).await.context("no port for a collector")?;
        let kept = Arc::new(Kept::default());
        let shared = Arc::clone(&kept);
        let serving = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::AcqRel);
                let kept = Arc::clone(&shared);
                tokio::spawn(async move { kept.serve(tcp, manner).await });
            }
        });
        Ok(Self { address: address.to_owned(), kept, serving })
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many connections it has had.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.kept.connections.load(Ordering::Acquire)
    }

    /// The target and the body of each request.
    #[must_use]
    pub fn requests(&self) -> Vec<(String, Vec<u8>)> {
        self.kept.requests().clone()
    }

    /// Every span so far.
    ///
    /// # Errors
    /// When a request is not as OTLP wants it.
    pub fn spans(&self) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        for (_, body) in self.requests() {
            for resource in ExportTraceServiceRequest::decode(&*body)?.resource_spans {
                seen.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans).map(Seen::of));
            }
        }
        Ok(seen)
    }

    /// Waits for a span that `wanted` accepts.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn span(&self, what: &str, wanted: impl Fn(&Seen) -> bool) -> Result<Seen> {
        until(format!("a span of {what}"), async || self.spans().ok()?.into_iter().find(&wanted)).await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Kept {
    fn requests(&self) -> MutexGuard<'_, Vec<(String, Vec<u8>)>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the one request of a connection.
    async fn serve(&self, mut tcp: TcpStream, manner: Manner) {
        let mut bytes = Vec::new();
        let head = loop {
            if tcp.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
        let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
        while bytes.len() < head + length.unwrap_or(0) {
            if tcp.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let target = text.split("\r\n").next().unwrap_or_default().to_owned();
        self.requests().push((target, bytes.split_off(head)));
        let status = match manner {
            Manner::Takes => 200,
            Manner::Fails(status) => status,
            Manner::Hangs => return std::future::pending().await,
        };
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let _ = tcp.write_all(answer.as_bytes()).await;
    }
}

impl Seen {
    fn of(span: Span) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let field = |value| match value {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        Self {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            name: span.name,
            is_server: span.kind == SpanKind::Server as i32,
            error: span.status.filter(|status| status.code == StatusCode::Error as i32).map(|status| status.message),
            links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            fields: span.attributes.into_iter().map(|it| (it.key, field(it.value.and_then(|it| it.value)))).collect(),
            times: (span.start_time_unix_nano, span.end_time_unix_nano),
        }
    }
}
