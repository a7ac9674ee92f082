//! The admin API: status, versions, deploys, rollbacks, canary, shadow and messages, on a listener of its own.
//! Authenticates, parses and answers requests; the chat carries them out.

mod activity;
mod body;
mod browser;
mod calls;
mod cluster;
mod console;
mod messages;
mod observing;
mod reload;
mod sessions;

pub use reload::{ReloadConfig, Reloaded};

use std::convert::Infallible;
use std::sync::Arc;

use std::net::IpAddr;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::header;
use hyper::http::uri::Authority;
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use browser::Browsers;
use calls::{CALLS, Call};

use super::answer::{self, Answer, HttpError, refuse};
use super::body::Body;
use super::exchange::Exchange;
use super::metrics::WriteMetrics;
use super::routes::{Routes, read_only};
use super::state::Phase;
use super::{docs, health, host, metrics};
use crate::chat::{ChangeRequest, Chat, HandlerChange, HandlerKind};
use crate::config::{Limits, Token};
use ondol_host_model::trace;

/// How many releases a page of the history holds: by default, and at most.
const HISTORY: usize = 50;
const HISTORY_MAX: usize = 1_000;

/// The longest actor and reason that are recorded, in characters.
const ACTOR_CHARS_MAX: usize = 64;
const REASON_CHARS_MAX: usize = 1_000;

/// Everything that a request to the admin API needs. One per listener.
pub struct AdminApi {
    chat: Arc<Chat>,
    /// Those in force.
    limits: Arc<ArcSwap<Limits>>,
    token: Option<[u8; 32]>,
    browsers: Browsers,
    routes: Routes<Call>,
    metrics: WriteMetrics,
    phase: watch::Receiver<Phase>,
    reload: Arc<ReloadConfig>,
}

/// What the listener knows about the caller.
#[derive(Clone, Copy, Debug)]
pub enum Caller {
    /// A peer of a TCP connection.
    Network,
    /// A user of this machine on the other end of a Unix socket, by uid.
    User(u32),
    /// The console, in an operator's browser.
    Console,
}

/// The actor of what is done in the console.
const CONSOLE: &str = "console";

impl AdminApi {
    /// The API of an admin listener. With a token, every request needs it except the health checks.
    ///
    /// # Errors
    ///
    /// When two routes conflict, or the system has no random bytes. Any start would show it.
    pub fn new(
        chat: Arc<Chat>,
        limits: Arc<ArcSwap<Limits>>,
        token: Option<&Token>,
        metrics: WriteMetrics,
        phase: watch::Receiver<Phase>,
        reload: ReloadConfig,
    ) -> anyhow::Result<Self> {
        let token = token.map(|token| Sha256::digest(token.secret()).into());
        let routes = Routes::new(CALLS.map(|(methods, path, call)| (methods, path.to_owned(), call)))?;
        let browsers = Browsers::new(token.is_some())?;
        Ok(Self { chat, limits, token, browsers, routes, metrics, phase, reload: Arc::new(reload) })
    }

    /// How far a shutdown has come.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// Answers one request. An error becomes a response.
    ///
    /// # Errors
    ///
    /// None.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>, caller: Caller) -> Result<Answer, Infallible> {
        let exchange = Exchange::begin(&request, None);
        let answer = trace::within(exchange.trace(), async {
            let answer = self.route(Body::of(request), caller).await;
            let answer = answer.unwrap_or_else(|error| refuse(&error, exchange.id()));
            exchange.end(&answer, || (self.pattern(exchange.path()), None));
            answer
        });
        Ok(answer.await)
    }

    fn pattern(&self, path: &str) -> Option<String> {
        let known = self.routes.at(path).ok().map(|matched| matched.value.pattern().to_owned());
        known.or_else(|| health::is_path(path).then(|| path.to_owned()))
    }

    async fn route(&self, request: Request<Body>, caller: Caller) -> Result<Answer, HttpError> {
        if let Some(answer) = health::answer(&self.chat, *self.phase.borrow(), &request) {
            return answer;
        }
        if let Some(file) = docs::file(request.uri().path()) {
            return read_only(request.method(), || Ok(file));
        }
        if console::is_path(request.uri().path()) {
            return self.console(request).await;
        }
        let caller = self.admit(&request, caller)?;
        let path = request.uri().path().to_owned();
        let matched = self.routes.at(&path)?;
        let param = |name| matched.params.get(name).unwrap_or_default();
        let handler = matched.params.get("handler").map(str::parse::<HandlerKind>).transpose();
        let handler = handler.map_err(|_| HttpError::NotFound)?;
        if request.method() == Method::OPTIONS {
            return Ok(matched.value.options());
        }
        let limits = &self.limits.load_full();
        match (matched.value.call(request.method())?, handler) {
            (Call::Metrics, _) => metrics::metrics(&self.metrics, request.headers()).await,
            (Call::Status, _) => ok(&self.chat.operator().status().await?),
            (Call::Activity, _) => self.activity(&request),
            (Call::Versions, _) => ok(&self.chat.operator().versions().await?),
            (Call::History, _) => self.history(&request).await,
            (Call::Reload, _) => self.reload(&request).await,
            (Call::Logs, _) => self.logs(&request).await,
            (Call::Record, _) => self.record(&request).await,
            (Call::Diff, _) => self.diff(&request).await,
            (Call::DeployOne, Some(handler)) => {
                let mut order = self.order(&request, caller)?;
                let part = body::part(request, handler, limits, &mut order).await?;
                self.deploy(vec![part], order).await
            }
            (Call::Configure, Some(handler)) => {
                let order = self.order(&request, caller)?;
                let settings = Some(body::settings(request, limits).await?);
                self.deploy(vec![HandlerChange { handler, wasm: None, settings, cases: None }], order).await
            }
            (Call::Deploy, _) => {
                let mut order = self.order(&request, caller)?;
                match body::parts(request, limits, &mut order).await? {
                    (parts, None) => self.deploy(parts, order).await,
                    (parts, Some(percent)) => {
                        ok(&self.chat.operator().start_canary(parts, percent, recorded(order)?).await?)
                    }
                }
            }
            (Call::Canary, _) => ok(&self.chat.operator().canary()?),
            (Call::DropCanary, _) => {
                let ended = self.chat.operator().drop_canary(recorded(self.order(&request, caller)?)?).await?;
                ok(&json!({ "canary": null, "ended_canary": ended }))
            }
            (Call::PromoteCanary, _) => {
                ok(&self.chat.operator().promote_canary(recorded(self.order(&request, caller)?)?).await?)
            }
            (Call::Shadow, _) => ok(&self.chat.operator().shadow()?),
            (Call::StartShadow, _) => {
                let mut order = self.order(&request, caller)?;
                let (parts, percent) = body::parts(request, limits, &mut order).await?;
                if percent.is_some() {
                    return Err(HttpError::field(
                        "percent",
                        "invalid",
                        "percent: a shadow takes no share of rooms; leave it out.",
                    ));
                }
                ok(&self.chat.operator().start_shadow(parts, recorded(order)?).await?)
            }
            (Call::StopShadow, _) => {
                ok(&self.chat.operator().stop_shadow(recorded(self.order(&request, caller)?)?).await?)
            }
            (Call::RollBack, _) => {
                let mut order = self.order(&request, caller)?;
                let target = body::target(request, limits, &mut order).await?;
                ok(&self.chat.operator().roll_back(target, recorded(order)?).await?)
            }
            (Call::Forgive, _) => {
                let mut order = self.order(&request, caller)?;
                let version = body::forgiven(request, limits, &mut order).await?;
                ok(&json!({ "forgiven": self.chat.operator().forgive(version, recorded(order)?).await? }))
            }
            (Call::DeleteMessage, _) => self.delete_message(&request, caller, ["room", "seq"].map(param)).await,
            (Call::DeleteMessagesOf, _) => self.delete_messages_of(&request, caller, param("user_id")).await,
            (Call::Cluster, _) => self.cluster(),
            (Call::HomeOfRoom, _) => self.home_of(param("room")).await,
            (Call::DrainHost, _) => self.drain_host(&request, caller, param("host")).await,
            (Call::DeployOne | Call::Configure, None) => Err(HttpError::NotFound),
        }
    }

    async fn deploy(&self, parts: Vec<HandlerChange>, order: ChangeRequest) -> Result<Answer, HttpError> {
        ok(&self.chat.operator().deploy(parts, recorded(order)?).await?)
    }

    async fn history(&self, request: &Request<Body>) -> Result<Answer, HttpError> {
        let limit = number(request, "limit")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(HISTORY);
        ok(&self.chat.operator().history(number(request, "before")?, limit.min(HISTORY_MAX)).await?)
    }

    async fn diff(&self, request: &Request<Body>) -> Result<Answer, HttpError> {
        let to = query(request, "to").filter(|to| !to.is_empty());
        let to =
            to.ok_or_else(|| HttpError::field("to", "required", "to: give the first digits of a version's id."))?;
        ok(&self.chat.operator().diff(query(request, "from"), to).await?)
    }

    /// Checks the token. Of browsers' requests, only those of the [console](browser) are admitted, over a forwarded socket too.
    fn admit(&self, request: &Request<Body>, caller: Caller) -> Result<Caller, HttpError> {
        let headers = request.headers();
        if Browsers::sent(headers) {
            return self.browsers.admit(request);
        }
        refuse_pages(request, self.token.is_none())?;
        let Some(token) = &self.token else { return Ok(caller) };
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (first, second) = (given.next(), given.next());
        let bearer = first.and_then(|value| value.as_bytes().split_at_checked("Bearer ".len()));
        if first.is_none() {
            return Err(HttpError::TokenMissing);
        }
        match (bearer, second) {
            (Some((scheme, secret)), None)
                if scheme.eq_ignore_ascii_case(b"Bearer ") && same(&Sha256::digest(secret).into(), token) =>
            {
                Ok(caller)
            }
            _ => Err(HttpError::TokenWrong),
        }
    }

    /// Who is calling, and what the query says beside that.
    fn order(&self, request: &Request<Body>, caller: Caller) -> Result<ChangeRequest, HttpError> {
        let by = match (caller, &self.token) {
            (Caller::Console, _) => CONSOLE.to_owned(),
            (Caller::User(user), _) => format!("uid {user}"),
            (Caller::Network, Some(_)) => "token".to_owned(),
            (Caller::Network, None) => "local".to_owned(),
        };
        let actor = match request.headers().get("x-ondol-actor").map(|actor| actor.to_str()) {
            None => by,
            Some(_) if matches!(caller, Caller::Console) => by,
            Some(Ok(actor)) if plain(actor, ACTOR_CHARS_MAX) && !actor.is_empty() => format!("{actor} ({by})"),
            Some(_) => {
                let reason = format!("X-Ondol-Actor: expected 1 to {ACTOR_CHARS_MAX} printable ASCII characters.");
                return Err(HttpError::field("X-Ondol-Actor", "invalid", reason));
            }
        };
        let forced = query(request, "force").is_some_and(|force| matches!(force.as_str(), "" | "1" | "true"));
        let slowness = body::slowness([
            number(request, "slowdown_max")?,
            number(request, "slowdown_floor_ms")?,
            number(request, "slowdown_rollback_ms")?,
        ])?;
        let (reason, expected) = (query(request, "reason").unwrap_or_default(), number(request, "expected_release")?);
        Ok(ChangeRequest { actor, reason, forced, expected, slowness })
    }
}

/// Rejects requests from browsers: otherwise any web page that an operator opens could reach a listener on their machine.
///
/// A page whose own name leads to this machine (DNS rebinding) sends neither of their headers, but its name as the host.
/// `by_name`: that is to be rejected as well.
pub(super) fn refuse_pages<B>(request: &Request<B>, by_name: bool) -> Result<(), HttpError> {
    let (headers, named) = (request.headers(), host::of(request)?);
    let is_foreign = by_name && named.is_some_and(|host| !is_own_host(host));
    if is_foreign || headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") {
        return Err(HttpError::Browser);
    }
    Ok(())
}

fn number(request: &Request<Body>, name: &'static str) -> Result<Option<u64>, HttpError> {
    let value = query(request, name).map(|value| value.parse::<u64>()).transpose();
    value.map_err(|_| HttpError::field(name, "invalid", format!("{name}: expected a whole number.")))
}

/// Checks that the history can show the reason.
fn recorded(order: ChangeRequest) -> Result<ChangeRequest, HttpError> {
    if plain(&order.reason, REASON_CHARS_MAX) {
        return Ok(order);
    }
    let reason = format!("reason: expected at most {REASON_CHARS_MAX} characters, without control characters.");
    Err(HttpError::field("reason", "invalid", reason))
}

fn plain(text: &str, chars_max: usize) -> bool {
    text.chars().count() <= chars_max && !text.chars().any(char::is_control)
}

/// Compares two hashes in constant time.
fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differing = one.iter().zip(other).fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    differing == 0
}

fn query(request: &Request<Body>, name: &str) -> Option<String> {
    let query = request.uri().query().unwrap_or_default().as_bytes();
    form_urlencoded::parse(query).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn ok(body: &impl serde::Serialize) -> Result<Answer, HttpError> {
    Ok(answer::json(StatusCode::OK, body))
}

/// Whether a host is an address, this machine, or what `ondol handlers` sends: a name that no page can have.
fn is_own_host(host: &str) -> bool {
    let name = host.parse::<Authority>().map(|authority| authority.host().to_ascii_lowercase()).unwrap_or_default();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    matches!(address, "localhost" | "ondol") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_compared() {
        let (one, mut other) = ([7; 32], [7; 32]);
        assert!(same(&one, &other));
        if let Some(last) = other.last_mut() {
            *last = 8;
        }
        assert!(!same(&one, &other));
    }
}
