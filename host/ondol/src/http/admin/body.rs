//! The bodies of admin API requests: a raw component, or JSON with components in base64. Parses and checks; the chat
//! carries out.

mod members;

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::Request;
use serde::Deserialize;
use serde_json::Value;

use crate::chat::{ChangeRequest, HandlerChange, HandlerKind, RollbackTarget, SlownessOverride, setting_text};
use crate::config::Limits;
use crate::http::answer::HttpError;
use crate::http::body::{self, Body};
use members::Members;

/// The size of a JSON body apart from components and cases, in bytes.
const REST_BYTES_MAX: usize = 1_048_576;

/// What an error calls [`REST_BYTES_MAX`].
const FIXED_LIMIT: &str = "a fixed limit";

/// The fewest digits that name a version.
const VERSION_DIGITS_MIN: usize = 4;

/// One handler of a deploy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartBody {
    /// Base64.
    component: Option<String>,
    settings: Option<BTreeMap<String, Value>>,
    /// TOML.
    cases: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandlerBody {
    component: Option<String>,
    settings: Option<BTreeMap<String, Value>>,
    cases: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
    expected_release: Option<u64>,
    slowdown_max: Option<u64>,
    slowdown_floor_ms: Option<u64>,
    slowdown_rollback_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseBody {
    rooms: Option<Members<PartBody>>,
    messages: Option<Members<PartBody>>,
    events: Option<Members<PartBody>>,
    /// The percentage of rooms, for a canary.
    percent: Option<u8>,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
    expected_release: Option<u64>,
    slowdown_max: Option<u64>,
    slowdown_floor_ms: Option<u64>,
    slowdown_rollback_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    to: Option<Value>,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForgiveBody {
    version: String,
    reason: Option<String>,
}

/// One handler's part: JSON if the content type says so, otherwise the component itself.
pub(super) async fn part(
    request: Request<Body>,
    handler: HandlerKind,
    limits: &Limits,
    order: &mut ChangeRequest,
) -> Result<HandlerChange, HttpError> {
    if !body::is_json(request.headers()) {
        let wasm = read(request, limits, "handler_file_bytes_max", limits.handler_file_bytes_max).await?;
        return Ok(HandlerChange { handler, wasm: Some(wasm.into()), settings: None, cases: None });
    }
    let body: HandlerBody = parse(&read_parts(request, limits, 1).await?)?;
    complete(order, body.reason, body.force);
    order.expected = body.expected_release.or(order.expected);
    let asked = slowness([body.slowdown_max, body.slowdown_floor_ms, body.slowdown_rollback_ms])?;
    order.slowness = order.slowness.overridden_by(asked);
    let part = PartBody { component: body.component, settings: body.settings, cases: body.cases };
    part.read(handler, limits)
}

/// The parts of a release, at least one, and the percentage of rooms if it is a canary.
pub(super) async fn parts(
    request: Request<Body>,
    limits: &Limits,
    order: &mut ChangeRequest,
) -> Result<(Vec<HandlerChange>, Option<u8>), HttpError> {
    let body: ReleaseBody = parse(&read_parts(request, limits, 3).await?)?;
    complete(order, body.reason, body.force);
    order.expected = body.expected_release.or(order.expected);
    let asked = slowness([body.slowdown_max, body.slowdown_floor_ms, body.slowdown_rollback_ms])?;
    order.slowness = order.slowness.overridden_by(asked);
    if body.percent.is_some_and(|percent| !(1..=99).contains(&percent)) {
        return Err(HttpError::field("percent", "invalid", "percent: expected 1 to 99; leave it out for all rooms."));
    }
    let parts = HandlerKind::ALL.into_iter().zip([body.rooms, body.messages, body.events]);
    let parts = parts.filter_map(|(handler, part)| Some(part?.0.read(handler, limits)));
    let parts: Vec<HandlerChange> = parts.collect::<Result<_, _>>()?;
    if parts.is_empty() {
        return Err(HttpError::field("rooms", "required", "Give at least one of rooms, messages and events."));
    }
    Ok((parts, body.percent))
}

/// All settings of a handler: an object of strings, numbers and booleans.
pub(super) async fn settings(request: Request<Body>, limits: &Limits) -> Result<BTreeMap<String, String>, HttpError> {
    texts(parse(&read(request, limits, FIXED_LIMIT, REST_BYTES_MAX).await?)?)
}

/// The target of a rollback. An empty body means the previous release.
pub(super) async fn target(
    request: Request<Body>,
    limits: &Limits,
    order: &mut ChangeRequest,
) -> Result<RollbackTarget, HttpError> {
    let bytes = read(request, limits, FIXED_LIMIT, REST_BYTES_MAX).await?;
    if bytes.is_empty() {
        return Ok(RollbackTarget::Before);
    }
    let body: RollbackBody = parse(&bytes)?;
    complete(order, body.reason, body.force);
    match body.to {
        None | Some(Value::Null) => Ok(RollbackTarget::Before),
        Some(Value::Number(number)) if number.is_u64() => Ok(RollbackTarget::Release(number.as_u64().unwrap_or(0))),
        Some(Value::String(digits)) if is_version(&digits) => Ok(RollbackTarget::Version(digits)),
        Some(_) => {
            let reason =
                "to: expected the number of a release, or a string with at least the first four digits of a version.";
            Err(HttpError::field("to", "invalid", reason))
        }
    }
}

/// The beginning of the id of the version to forgive.
pub(super) async fn forgiven(
    request: Request<Body>,
    limits: &Limits,
    order: &mut ChangeRequest,
) -> Result<String, HttpError> {
    let body: ForgiveBody = parse(&read(request, limits, FIXED_LIMIT, REST_BYTES_MAX).await?)?;
    complete(order, body.reason, false);
    if is_version(&body.version) {
        return Ok(body.version);
    }
    let reason = "version: expected a string with at least the first four digits of a version.";
    Err(HttpError::field("version", "invalid", reason))
}

/// What a deploy asks for in place of the limits of probation, in the ranges of those.
pub(super) fn slowness(asked: [Option<u64>; 3]) -> Result<SlownessOverride, HttpError> {
    const NAMES: [(&str, &str); 3] = [
        ("slowdown_max", "probation_slowdown_max"),
        ("slowdown_floor_ms", "probation_slowdown_floor_ms"),
        ("slowdown_rollback_ms", "probation_slowdown_rollback_ms"),
    ];
    for ((name, limit), value) in NAMES.into_iter().zip(asked) {
        if let Some(value) = value {
            let checked = Limits::check(limit, value);
            checked.map_err(|takes| HttpError::field(name, "invalid", format!("{name}: expected {takes}.")))?;
        }
    }
    let [slowdown_max, slowdown_floor_ms, slowdown_rollback_ms] = asked;
    Ok(SlownessOverride { slowdown_max, slowdown_floor_ms, slowdown_rollback_ms })
}

fn is_version(digits: &str) -> bool {
    (VERSION_DIGITS_MIN..=64).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

impl PartBody {
    fn read(self, handler: HandlerKind, limits: &Limits) -> Result<HandlerChange, HttpError> {
        let name = handler.name();
        let cases = self.cases.filter(|cases| !cases.is_empty());
        if cases.as_ref().is_some_and(|cases| cases.len() > limits.handler_cases_bytes_max) {
            let bytes_max = limits.handler_cases_bytes_max;
            return Err(HttpError::BodyTooLarge { limit: "handler_cases_bytes_max", bytes_max });
        }
        let wasm = self.component.map(|text| data_encoding::BASE64.decode(text.as_bytes())).transpose();
        let wasm = wasm.map_err(|error| {
            HttpError::field(name, "invalid", format!("{name}.component: expected base64 with padding: {error}."))
        })?;
        let settings = self.settings.map(texts).transpose()?;
        if wasm.is_none() && settings.is_none() && cases.is_none() {
            return Err(HttpError::field(name, "required", format!("{name}: give a component, settings or cases.")));
        }
        Ok(HandlerChange { handler, wasm, settings, cases })
    }
}

/// Settings as handlers read them: numbers, booleans and lists become text, as in the config.
fn texts(settings: BTreeMap<String, Value>) -> Result<BTreeMap<String, String>, HttpError> {
    let text = |(key, value)| match setting_text(&value) {
        Some(text) => Ok((key, text)),
        None => Err(HttpError::field(
            "settings",
            "invalid",
            format!("settings.{key}: expected a string without U+0000, a number, a boolean or a list of these."),
        )),
    };
    settings.into_iter().map(text).collect()
}

/// The body's reason and `force` take precedence over the query's.
fn complete(order: &mut ChangeRequest, reason: Option<String>, force: bool) {
    if let Some(reason) = reason {
        order.reason = reason;
    }
    order.forced |= force;
}

/// A JSON body with up to `parts` components. base64 turns three bytes into four.
async fn read_parts(request: Request<Body>, limits: &Limits, parts: usize) -> Result<Bytes, HttpError> {
    let part_bytes_max = limits.handler_file_bytes_max / 3 * 4 + 2 * limits.handler_cases_bytes_max;
    read(request, limits, "handler_file_bytes_max", parts * part_bytes_max + REST_BYTES_MAX).await
}

fn parse<'a, B: Deserialize<'a>>(bytes: &'a [u8]) -> Result<B, HttpError> {
    serde_json::from_slice(bytes).map(|Members(body)| body).map_err(|error| HttpError::Parse(error.to_string()))
}

/// The body, up to `bytes_max` bytes. `limit` names the limit that they come from.
async fn read(
    request: Request<Body>,
    limits: &Limits,
    limit: &'static str,
    bytes_max: usize,
) -> Result<Bytes, HttpError> {
    request.into_body().read((limit, bytes_max), ("admin_body_ms_max", limits.admin_body_ms_max)).await
}

#[cfg(test)]
mod properties;
