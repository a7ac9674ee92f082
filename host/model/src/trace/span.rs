//! Spans: what took how long, and as a part of what. Knows nothing of where they are sent.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::scope::{current, read};
use super::{SpanId, Trace, TraceId};

/// Takes spans that have ended. Must not block.
pub trait SpanSink: fmt::Debug + Send + Sync {
    /// Takes one.
    fn record(&self, span: Span);
}

/// A part of a trace.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace.
    pub trace: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// The span that it is a part of.
    pub parent: Option<SpanId>,
    /// Whether that one is the caller's.
    pub is_parent_remote: bool,
    /// A span of another trace that it came from.
    pub link: Option<(TraceId, SpanId)>,
    /// Whether it answers a call from outside.
    pub is_server: bool,
    /// What it is.
    pub name: String,
    /// When it began.
    pub started: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// More about it. Nothing that a user wrote.
    pub fields: Vec<(&'static str, SpanValue)>,
    /// Why it failed, if the server is to blame.
    pub error: Option<String>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanValue {
    /// A text.
    Text(String),
    /// A whole number.
    Number(u64),
}

impl From<&str> for SpanValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for SpanValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for SpanValue {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl Span {
    /// One that begins now.
    pub(super) fn new(trace: TraceId, parent: Option<SpanId>, name: String) -> Self {
        let now = SystemTime::now();
        Self {
            trace,
            id: SpanId::random(),
            parent,
            is_parent_remote: false,
            link: None,
            is_server: false,
            name,
            started: now,
            ended: now,
            fields: Vec::new(),
            error: None,
        }
    }
}

/// A span inside a request or a frame, which ends when this is dropped.
#[derive(Debug)]
pub struct OpenSpan {
    of: Arc<Trace>,
    span: Option<Span>,
}

/// Begins a part of what this thread works for. None unless that is exported, which costs one look.
#[must_use]
pub fn span(name: &'static str) -> Option<Box<OpenSpan>> {
    let (trace, root) = read(|trace| trace.root.as_ref().map(|root| (root.span.trace, root.span.id)))?;
    Some(Box::new(OpenSpan { of: current()?, span: Some(Span::new(trace, Some(root), name.to_owned())) }))
}

impl OpenSpan {
    /// Adds a field.
    pub fn field(&mut self, name: &'static str, value: impl Into<SpanValue>) {
        if let Some(span) = &mut self.span {
            span.fields.push((name, value.into()));
        }
    }

    /// Says that it failed.
    pub fn fail(&mut self, error: &str) {
        if let Some(span) = &mut self.span {
            span.error = Some(error.to_owned());
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let (Some(mut span), Some(root)) = (self.span.take(), &self.of.root) {
            span.ended = SystemTime::now();
            root.sink.record(span);
        }
    }
}
