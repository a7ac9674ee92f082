//! Spans as OTLP has them.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Sent, SpanFlags, Status};
use prost::Message as _;

use ondol_host_model::trace::{Span, SpanValue};

/// The flag of a trace that is exported (W3C Trace Context, section 3.2.2.5).
const SAMPLED: u32 = 1;

/// The body of a request with these spans.
pub(super) fn request(spans: Vec<Span>) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let resource = Resource {
        attributes: vec![attribute("service.name", "ondol".into()), attribute("service.version", version.into())],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "ondol".to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = spans.into_iter().map(sent).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn sent(span: Span) -> Sent {
    let has_remote = SpanFlags::ContextHasIsRemoteMask as u32;
    let remote = if span.is_parent_remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    let link = span.link.map(|(trace, span)| Link {
        trace_id: trace.0.to_vec(),
        span_id: span.0.to_vec(),
        flags: SAMPLED | has_remote,
        ..Link::default()
    });
    let status = span.error.map(|message| Status { message, code: StatusCode::Error.into() });
    Sent {
        trace_id: span.trace.0.to_vec(),
        span_id: span.id.0.to_vec(),
        parent_span_id: span.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        flags: SAMPLED | has_remote | remote,
        name: span.name,
        kind: if span.is_server { SpanKind::Server } else { SpanKind::Internal }.into(),
        start_time_unix_nano: nanos(span.started),
        // The clock may have gone back meanwhile.
        end_time_unix_nano: nanos(span.ended.max(span.started)),
        attributes: span.fields.into_iter().map(|(name, value)| attribute(name, value)).collect(),
        links: link.into_iter().collect(),
        status,
        ..Sent::default()
    }
}

fn attribute(name: &str, value: SpanValue) -> KeyValue {
    let value = match value {
        SpanValue::Text(text) => Value::StringValue(text),
        SpanValue::Number(number) => Value::IntValue(i64::try_from(number).unwrap_or(i64::MAX)),
    };
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
