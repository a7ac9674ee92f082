//! The contract of `wit/` as it is wanted from a component, and what a component is given. The names are those of the
//! `.wit` files; the tests hold the default handlers against it.

use super::super::bindings::PACKAGE_VERSION;
use super::shape::{Shape, Signature};
use crate::HandlerKind;

/// The version of the WASI interfaces that the host provides.
const WASI_VERSION: &str = "0.2.12";

/// The WASI interfaces that the host provides: those of `wasi.rs`.
const WASI: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The name of an interface of this contract, with its version.
pub(super) fn interface(name: &str) -> String {
    format!("ondol:chat/{name}@{PACKAGE_VERSION}")
}

/// Whether the host provides this interface, in this version or one that is compatible.
pub(super) fn is_provided(name: &str) -> bool {
    provided().any(|provided| same_interface(name, &provided))
}

/// The same interface in the version that the host does provide.
pub(super) fn other_version(name: &str) -> Option<String> {
    let bare = |name: &str| name.split_once('@').map_or(name, |(bare, _)| bare).to_owned();
    provided().find(|provided| bare(provided) == bare(name))
}

fn provided() -> impl Iterator<Item = String> {
    let wasi = WASI.into_iter().map(|name| format!("{name}@{WASI_VERSION}"));
    ["settings", "users"].map(interface).into_iter().chain(wasi)
}

/// Whether two names mean the same interface in compatible versions: equal up to the first part of the version that is
/// not 0, as semantic versioning has it and as the linker matches them.
pub(super) fn same_interface(name: &str, other: &str) -> bool {
    name == other || track(name).is_some_and(|track_of_name| track(other) == Some(track_of_name))
}

/// An interface's name and the part of its version that must not differ. None: only the very same version will do.
fn track(name: &str) -> Option<(&str, u64, u64)> {
    let (bare, version) = name.split_once('@')?;
    let version = version.split_once('+').map_or(version, |(version, _)| version);
    let mut parts = version.split('.').map(|part| part.parse::<u64>().ok());
    match (parts.next()??, parts.next()??, parts.next()??, parts.next()) {
        (0, 0, _, None) => None,
        (0, minor, _, None) => Some((bare, 0, minor)),
        (major, _, _, None) => Some((bare, major, 0)),
        _ => None,
    }
}

/// The functions that a handler has to export.
pub(super) fn functions(handler: HandlerKind) -> Vec<(&'static str, Signature)> {
    let room = || ("room", U64);
    match handler {
        HandlerKind::Rooms => {
            vec![("create", function([("request", request())], result(room_draft())))]
        }
        HandlerKind::Messages => {
            vec![("receive", function([("sender", U64), room(), ("frame", frame())], result(action())))]
        }
        HandlerKind::Events => vec![
            ("message", function([("message", message())], STRING)),
            ("join", function([room(), ("user", user())], option(STRING))),
            ("leave", function([room(), ("user", user())], option(STRING))),
            ("refusal", function([("refusal", refusal())], STRING)),
        ],
    }
}

/// What an interface of this contract gives a component, if it is one that does: its one function, `get`.
pub(super) fn given(interface: &str) -> Option<Signature> {
    match interface {
        "settings" => Some(function([("key", STRING)], option(STRING))),
        "users" => Some(function([("key", U64)], user())),
        _ => None,
    }
}

/// What the contract calls a type, if it is one of its own.
pub(super) fn name_of(shape: &Shape) -> Option<&'static str> {
    type Make = fn() -> Shape;
    let named: [(&str, Make); 9] = [
        ("user", user),
        ("message", message),
        ("refusal", refusal),
        ("frame", frame),
        ("draft", draft),
        ("action", action),
        ("request", request),
        ("standing", standing),
        ("room-draft", room_draft),
    ];
    if !matches!(shape, Shape::Record(_) | Shape::Variant(_) | Shape::Enum(_)) {
        return None;
    }
    named.into_iter().find(|(_, make)| make() == *shape).map(|(name, _)| name)
}

const STRING: Shape = Shape::Plain("string");
const U64: Shape = Shape::Plain("u64");

fn user() -> Shape {
    record([("id", STRING), ("nickname", STRING), ("email", STRING), ("profile-url", option(STRING))])
}

fn message() -> Shape {
    record([
        ("id", U64),
        ("room", U64),
        ("seq", U64),
        ("sender", U64),
        ("text", STRING),
        ("client-id", option(STRING)),
        ("parent", option(U64)),
        ("extra", option(STRING)),
        ("created-at", U64),
    ])
}

fn refusal() -> Shape {
    record([("code", STRING), ("message", STRING), ("field", option(STRING))])
}

fn frame() -> Shape {
    let bytes = Shape::List(Box::new(Shape::Plain("u8")));
    variant([("text", Some(STRING)), ("binary", Some(bytes)), ("body", Some(STRING))])
}

fn draft() -> Shape {
    record([("text", STRING), ("client-id", option(STRING)), ("parent", option(U64)), ("extra", option(STRING))])
}

fn action() -> Shape {
    variant([("post", Some(draft())), ("relay", Some(STRING)), ("ignore", None)])
}

fn request() -> Shape {
    record([("name", option(STRING)), ("post-id", option(U64)), ("creator", option(user()))])
}

fn standing() -> Shape {
    Shape::Enum(["reuse", "refuse"].map(str::to_owned).into())
}

fn room_draft() -> Shape {
    record([("name", STRING), ("standing", standing())])
}

fn function<const N: usize>(parameters: [(&str, Shape); N], answer: Shape) -> Signature {
    Signature { parameters: parameters.map(|(name, shape)| (name.to_owned(), shape)).into(), result: Some(answer) }
}

fn result(ok: Shape) -> Shape {
    Shape::Result(Some(Box::new(ok)), Some(Box::new(refusal())))
}

fn option(some: Shape) -> Shape {
    Shape::Option(Box::new(some))
}

fn record<const N: usize>(fields: [(&str, Shape); N]) -> Shape {
    Shape::Record(fields.map(|(name, shape)| (name.to_owned(), shape)).into())
}

fn variant<const N: usize>(cases: [(&str, Option<Shape>); N]) -> Shape {
    Shape::Variant(cases.map(|(name, payload)| (name.to_owned(), payload)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wasi_fits_in_any_patch_version_and_this_contract_in_its_own() {
        assert!(is_provided("wasi:io/streams@0.2.0") && is_provided("wasi:random/random@0.2.99"));
        assert!(!is_provided("wasi:io/streams@0.3.0") && !is_provided("wasi:sockets/tcp@0.2.0"));
        assert!(is_provided("ondol:chat/settings@0.2.0") && !is_provided("ondol:chat/settings@0.1.0"));
        assert!(!is_provided("wasi:io/streams@0.2.0-rc-2023-11-10") && !is_provided("wasi:io/streams"));
    }

    #[test]
    fn what_there_is_in_another_version_is_named() {
        assert_eq!(other_version("ondol:chat/settings@0.1.0").as_deref(), Some("ondol:chat/settings@0.2.0"));
        assert_eq!(other_version("example:missing/one@1.0.0"), None);
    }
}
