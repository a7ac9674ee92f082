//! Readers for the types of options. None for an invalid value; the table in `config.rs` describes the valid ones.

use std::net::SocketAddr;
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use ondol_host_store::Synchronous;

use super::admin::{AdminAddress, Token};
use super::given::Given;
use super::refusal::RefusalStyle;

pub(super) fn address(given: &Given) -> Option<SocketAddr> {
    given.as_str()?.parse().ok()
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

/// A list; in the environment, a comma-separated text.
pub(super) fn origins(given: &Given) -> Option<Vec<String>> {
    let origins = match given {
        Given::Word(words) => words.split(',').map(str::trim).filter(|word| !word.is_empty()).collect(),
        Given::List(list) => list.iter().map(Given::as_str).collect::<Option<Vec<_>>>()?,
        _ => return None,
    };
    origins.into_iter().map(|text| origin(text).map(|()| text.to_ascii_lowercase())).collect()
}

/// Checks for the form of RFC 6454, section 6.2: a scheme, a host, perhaps a port, and nothing after it.
fn origin(text: &str) -> Option<()> {
    let (scheme, host) = text.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let authority = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    let fits = !scheme.is_empty() && scheme.chars().all(plain) && !host.is_empty() && host.chars().all(authority);
    fits.then_some(())
}

pub(super) fn refusal(given: &Given) -> Option<RefusalStyle> {
    match given.as_str()? {
        "http" => Some(RefusalStyle::Http),
        "close" => Some(RefusalStyle::Close),
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
