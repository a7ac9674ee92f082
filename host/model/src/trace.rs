//! What a request or a frame is traced as. A caller hands its trace over in the header `traceparent` (W3C Trace Context); the
//! task that works for it carries the trace along, so that log lines and faults can name it.

mod parent;
#[cfg(test)]
mod properties;
mod scope;
mod span;

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

pub use parent::TraceParent;
pub use scope::{Entered, current, current_id, enter, within};
pub use span::{OpenSpan, Span, SpanSink, SpanValue, span};

/// The id of a trace, over all systems that take part in it. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// The id of one span of a trace. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// The trace that a request, a WebSocket or a frame belongs to.
#[derive(Debug)]
pub struct Trace {
    /// What log lines name. The caller's, if it brought one.
    pub id: TraceId,
    /// The span of the request or frame itself, if it is exported. It ends with the last holder of this.
    root: Option<Root>,
    /// Of a WebSocket: what the traces of its frames are linked to, if they are exported.
    opened_by: Option<Origin>,
}

/// A span that others are linked to, and where spans go.
#[derive(Clone, Debug)]
struct Origin {
    sink: Arc<dyn SpanSink>,
    trace: TraceId,
    span: SpanId,
}

#[derive(Debug)]
struct Root {
    sink: Arc<dyn SpanSink>,
    span: Span,
    outcome: OnceLock<Outcome>,
}

/// How a request or a frame ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What it was.
    pub name: String,
    /// More about it. Nothing that a user wrote.
    pub fields: Vec<(&'static str, SpanValue)>,
    /// Why it failed, if the server is to blame.
    pub error: Option<String>,
}

impl Trace {
    /// The trace of a request whose spans stay here.
    #[must_use]
    pub fn named(id: TraceId) -> Arc<Self> {
        Arc::new(Self { id, root: None, opened_by: None })
    }

    /// The trace of a request whose spans go to `sink`: the caller's, or a new one.
    #[must_use]
    pub fn recorded(parent: Option<&TraceParent>, sink: Arc<dyn SpanSink>) -> Arc<Self> {
        let id = parent.map_or_else(TraceId::random, |parent| parent.trace);
        let mut span = Span::new(id, parent.map(|parent| parent.span), "request".to_owned());
        (span.is_server, span.is_parent_remote) = (true, true);
        Arc::new(Self { id, root: Some(Root { sink, span, outcome: OnceLock::new() }), opened_by: None })
    }

    /// The trace of the WebSocket that this request opens. It does not keep the span of the request open.
    #[must_use]
    pub fn of_socket(&self) -> Arc<Self> {
        let opened_by = self.root.as_ref().map(|Root { sink, span, .. }| {
            let sink = Arc::clone(sink);
            Origin { sink, trace: span.trace, span: span.id }
        });
        Arc::new(Self { id: self.id, root: None, opened_by })
    }

    /// The trace of a frame of this WebSocket, if it is exported: one of its own, linked to the handshake. Log lines name
    /// that of the WebSocket.
    #[must_use]
    pub fn of_frame(&self) -> Option<Arc<Self>> {
        let Origin { sink, trace, span } = self.opened_by.clone()?;
        let mut root = Span::new(TraceId::random(), None, "frame".to_owned());
        (root.is_server, root.link) = (true, Some((trace, span)));
        Some(Arc::new(Self {
            id: self.id,
            root: Some(Root { sink, span: root, outcome: OnceLock::new() }),
            opened_by: None,
        }))
    }

    /// Says how it ended, for its span. Only the first outcome counts.
    pub fn finish(&self, outcome: impl FnOnce() -> Outcome) {
        if let Some(root) = &self.root {
            root.outcome.get_or_init(outcome);
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let Some(Root { sink, mut span, outcome }) = self.root.take() else { return };
        if let Some(Outcome { name, fields, error }) = outcome.into_inner() {
            (span.name, span.error) = (name, error);
            span.fields.extend(fields);
        }
        span.ended = SystemTime::now();
        sink.record(span);
    }
}

impl TraceId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        let mut id = [0; 16];
        for (half, bytes) in id.chunks_exact_mut(8).zip([random(), random()]) {
            half.copy_from_slice(&bytes);
        }
        Self(id)
    }
}

impl SpanId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(random())
    }
}

/// A random number from 1. The standard library seeds each hasher from the system's randomness, which is all that an id needs.
fn random() -> [u8; 8] {
    RandomState::new().build_hasher().finish().max(1).to_be_bytes()
}

/// True in this percentage of cases.
#[must_use]
pub fn by_chance(percent: u8) -> bool {
    percent >= 100 || percent > 0 && u64::from_be_bytes(random()) % 100 < u64::from(percent)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Recorded(Mutex<Vec<Span>>);

    impl SpanSink for Recorded {
        fn record(&self, span: Span) {
            self.0.lock().map(|mut kept| kept.push(span)).unwrap_or_default();
        }
    }

    fn parent() -> TraceParent {
        TraceParent { trace: TraceId([7; 16]), span: SpanId([8; 8]), is_sampled: true }
    }

    #[test]
    fn spans_end_in_the_order_of_their_holders_and_know_their_parents() {
        let kept = Arc::new(Recorded::default());
        let trace = Trace::recorded(Some(&parent()), Arc::clone(&kept) as Arc<dyn SpanSink>);
        {
            let _entered = enter(Some(Arc::clone(&trace)));
            let mut open = span("events.message");
            open.as_mut().map(|open| open.field("outcome", "answered")).unwrap_or_default();
        }
        trace.finish(|| Outcome { name: "POST /x".to_owned(), ..Outcome::default() });
        assert!(span("nothing is traced here").is_none());
        drop(trace);
        let spans = kept.0.lock().map(|kept| kept.clone()).unwrap_or_default();
        let [call, request] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((call.name.as_str(), request.name.as_str()), ("events.message", "POST /x"));
        assert_eq!((call.trace, call.parent), (TraceId([7; 16]), Some(request.id)));
        assert_eq!((request.parent, request.is_parent_remote), (Some(SpanId([8; 8])), true));
    }

    #[test]
    fn a_frame_has_a_trace_of_its_own_that_is_linked_to_the_handshake() {
        let kept = Arc::new(Recorded::default());
        let handshake = Trace::recorded(Some(&parent()), Arc::clone(&kept) as Arc<dyn SpanSink>);
        let socket = handshake.of_socket();
        drop(handshake);
        let frame = socket.of_frame();
        assert_eq!(frame.as_ref().map(|frame| frame.id), Some(TraceId([7; 16])), "log lines name the handshake's");
        drop(frame);
        let spans = kept.0.lock().map(|kept| kept.clone()).unwrap_or_default();
        let [handshake, frame] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((frame.parent, frame.link), (None, Some((TraceId([7; 16]), handshake.id))));
        assert_ne!(frame.trace, handshake.trace);
        assert!(Trace::named(TraceId([7; 16])).of_socket().of_frame().is_none(), "nothing is exported");
    }

    #[test]
    fn ids_differ_and_chances_are_kept() {
        assert_ne!(TraceId::random(), TraceId::random());
        assert!(!by_chance(0) && by_chance(100));
        let happened = (0..10_000).filter(|_| by_chance(10)).count();
        assert!((700..1_300).contains(&happened), "{happened} of 10,000");
    }
}
