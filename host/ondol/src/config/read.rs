//! Readers for the types of options. None for an invalid value; the table in `config.rs` describes the valid ones.

use std::net::SocketAddr;
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;
use url::{Origin, Url};

use ondol_host_store::{PostgresUrl, Synchronous};

use super::admin::{AdminAddress, Token};
use super::bus::BusUrl;
use super::given::Given;
use super::history::HistoryForm;
use super::log_format::LogFormat;
use super::refusal::RefusalStyle;

pub(super) fn address(given: &Given) -> Option<SocketAddr> {
    given.as_str()?.parse().ok()
}

/// Never `Some(None)`, like [`some_path`].
pub(super) fn some_address(given: &Given) -> Option<Option<SocketAddr>> {
    address(given).map(Some)
}

pub(super) fn path(given: &Given) -> Option<PathBuf> {
    given.as_str().filter(|text| !text.is_empty() && !text.contains('\0')).map(PathBuf::from)
}

/// For an option without a default path. Never `Some(None)`.
pub(super) fn some_path(given: &Given) -> Option<Option<PathBuf>> {
    path(given).map(Some)
}

/// Never `Some(None)`, like [`some_path`].
pub(super) fn admin(given: &Given) -> Option<Option<AdminAddress>> {
    AdminAddress::read(given.as_str()?).map(Some)
}

/// Never `Some(None)`, like [`some_path`].
pub(super) fn token(given: &Given) -> Option<Option<Token>> {
    Token::new(given.as_str()?).map(Some)
}

/// Never `Some(None)`, like [`some_path`].
pub(super) fn store(given: &Given) -> Option<Option<PostgresUrl>> {
    PostgresUrl::parse(given.as_str()?).map(Some)
}

/// The longest name of a host.
pub(super) const HOST_CHARS_MAX: usize = 63;

/// What a name of a host may hold.
pub(super) fn is_of_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}

/// Never `Some(None)`, like [`some_path`].
pub(super) fn host(given: &Given) -> Option<Option<String>> {
    let name = given.as_str()?;
    let is_name = (1..=HOST_CHARS_MAX).contains(&name.len()) && name.chars().all(is_of_host);
    is_name.then(|| Some(name.to_owned()))
}

/// Never `Some(None)`, like [`some_path`].
pub(super) fn bus(given: &Given) -> Option<Option<BusUrl>> {
    BusUrl::parse(given.as_str()?).map(Some)
}

/// It is part of the subjects of the bus, where a dot has a meaning.
pub(super) fn cluster(given: &Given) -> Option<String> {
    let name = given.as_str()?;
    let is_of_cluster = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    ((1..=HOST_CHARS_MAX).contains(&name.len()) && name.chars().all(is_of_cluster)).then(|| name.to_owned())
}

pub(super) fn truth(given: &Given) -> Option<bool> {
    given.as_truth()
}

/// The entry of `origins` for the server's own page.
pub const SAME_ORIGIN: &str = "same-origin";
/// The entry of `origins` that lets every page call.
pub const ANY_ORIGIN: &str = "*";

pub(super) fn origins(given: &Given) -> Option<Vec<String>> {
    given.as_list()?.into_iter().map(origin).collect()
}

/// An origin as browsers send it (RFC 6454, section 6.2): a scheme, a host, a port unless it is the scheme's default, and
/// nothing after it. The host of a web page is in Punycode.
fn origin(text: &str) -> Option<String> {
    if matches!(text, SAME_ORIGIN | ANY_ORIGIN | "null" | "file://") {
        return Some(text.to_owned());
    }
    let (scheme, host) = text.split_once("://")?;
    if host.is_empty() || host.contains(['/', '?', '#', '@']) || host.contains(char::is_whitespace) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    match url.origin() {
        origin @ Origin::Tuple(..) => Some(origin.ascii_serialization()),
        Origin::Opaque(_) => host.is_ascii().then(|| format!("{scheme}://{host}").to_ascii_lowercase()),
    }
}

/// Never `Some(None)`, like [`some_path`].
pub(super) fn public_url(given: &Given) -> Option<Option<Url>> {
    let url = Url::parse(given.as_str()?).ok()?;
    (matches!(url.scheme(), "http" | "https") && is_origin(&url)).then_some(Some(url))
}

/// Whether a URL has a scheme, a host and perhaps a port, and nothing else.
pub(super) fn is_origin(url: &Url) -> bool {
    let has_user = !url.username().is_empty() || url.password().is_some();
    url.path() == "/" && url.query().is_none() && url.fragment().is_none() && !has_user
}

/// Tokens (RFC 9110, section 5.6.2).
pub(super) fn subprotocols(given: &Given) -> Option<Vec<String>> {
    let is_token = |text: &&str| text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c));
    given.as_list()?.into_iter().map(|text| Some(text).filter(is_token).map(str::to_owned)).collect()
}

/// Sources (CSP 3, section 2.3.1), of which none can end the directive. `self` and `none` may stand without their quotes.
pub(super) fn img_src(given: &Given) -> Option<Vec<String>> {
    let is_source =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !";,\"\\".contains(c));
    let sources = given.as_list()?.into_iter().map(|text| match text {
        "self" | "none" => Some(format!("'{text}'")),
        "'self'" | "'none'" => Some(text.to_owned()),
        _ => (is_source(text) && !text.contains('\'')).then(|| text.to_owned()),
    });
    sources.collect::<Option<Vec<_>>>().filter(|sources| !sources.is_empty())
}

pub(super) fn refusal(given: &Given) -> Option<RefusalStyle> {
    match given.as_str()? {
        "http" => Some(RefusalStyle::Http),
        "close" => Some(RefusalStyle::Close),
        _ => None,
    }
}

pub(super) fn history(given: &Given) -> Option<HistoryForm> {
    match given.as_str()? {
        "host" => Some(HistoryForm::Host),
        "events" => Some(HistoryForm::Events),
        _ => None,
    }
}

pub(super) fn synchronous(given: &Given) -> Option<Synchronous> {
    match given.as_str()? {
        "full" => Some(Synchronous::Full),
        "normal" => Some(Synchronous::Normal),
        _ => None,
    }
}

pub(super) fn log_format(given: &Given) -> Option<LogFormat> {
    match given.as_str()? {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

/// Never `Some(None)`, like [`some_path`]. A path is allowed: `v1/traces` follows it.
pub(super) fn collector(given: &Given) -> Option<Option<Url>> {
    let url = Url::parse(given.as_str()?).ok()?;
    let mut origin = url.clone();
    origin.set_path("/");
    (matches!(url.scheme(), "http" | "https") && is_origin(&origin)).then_some(Some(url))
}

pub(super) fn percent(given: &Given) -> Option<u8> {
    given.as_number().and_then(|number| u8::try_from(number).ok()).filter(|percent| *percent <= 100)
}

/// A log filter. The subscriber would accept any word as a module's name, so a lone word has to be a level.
pub(super) fn log(given: &Given) -> Option<String> {
    let text = given.as_str()?.trim();
    let level = |word: &str| matches!(word, "error" | "warn" | "info" | "debug" | "trace" | "off");
    let lone_words_are_levels = text
        .split(',')
        .map(str::trim)
        .all(|part| !part.is_empty() && (part.contains(['=', ':', '[']) || level(&part.to_ascii_lowercase())));
    (lone_words_are_levels && EnvFilter::try_new(text).is_ok()).then(|| text.to_owned())
}
