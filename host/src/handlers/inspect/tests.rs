//! Types held against the contract; and the default handlers against their worlds, where `make handlers` has built them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::shape::{Shape, Signature};
use super::*;
use crate::config::Limits;

/// A built handler.
fn built(handler: HandlerKind) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/handlers");
    std::fs::read(directory.join(handler.file_name())).expect("`make handlers` comes first")
}

fn sandbox() -> Sandbox {
    Sandbox::new(&Limits::default(), None).unwrap()
}

#[test]
fn each_default_handler_fits_its_own_world_and_no_other() {
    let sandbox = sandbox();
    for handler in HandlerKind::ALL {
        let bytes = built(handler);
        let report = sandbox.inspect(&bytes).unwrap();
        for fit in &report.worlds {
            assert_eq!(fit.misfits.is_empty(), fit.world == handler.world(), "{handler}: {fit:?}");
        }
    }
}

#[test]
fn a_handler_of_another_world_is_told_what_is_wanted_and_what_it_exports() {
    let bytes = built(HandlerKind::Rooms);
    let sandbox = sandbox();
    let component = sandbox.component(&bytes).unwrap();
    let told: Vec<String> =
        misfits(&component, sandbox.engine(), HandlerKind::Events).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["it does not export ondol:chat/events@0.1.0; it exports ondol:chat/rooms@0.1.0"]);
}

#[test]
fn what_is_no_component_is_told_what_it_is() {
    let told = sandbox().inspect(b"(component)").unwrap_err().to_string();
    assert!(told.contains("WebAssembly text"), "{told}");
    let told = sandbox().inspect(b"\0asm\x0d\0\x01\0\x63\x01\0").unwrap_err().to_string();
    assert!(told.starts_with("it does not compile: "), "{told}");
}

#[test]
fn a_difference_names_its_place_and_both_sides() {
    let receive = || wanted::functions(HandlerKind::Messages).pop().unwrap().1;
    assert_eq!(receive().difference(&receive()), None);

    let mut other = receive();
    let Some((_, Shape::Record(sender))) = other.parameters.first_mut() else { unreachable!("a user is a record") };
    sender.last_mut().unwrap().1 = Shape::Plain("string");
    assert_eq!(
        receive().difference(&other).as_deref(),
        Some("at sender.profile-url: wanted option<string>, provided string")
    );

    other.parameters.pop();
    let told = receive().difference(&other).unwrap();
    assert!(told.contains("wanted func(sender: user, room: u64, frame: frame) -> result<action, refusal>"), "{told}");
}

#[test]
fn a_record_with_another_field_is_shown_with_its_fields() {
    let mut other = wanted::setting();
    other.result = Some(Shape::Record(vec![("x".to_owned(), Shape::Plain("u8"))]));
    assert_eq!(
        wanted::setting().difference(&other).as_deref(),
        Some("at the answer: wanted option<string>, provided record { x: u8 }")
    );
}

#[test]
fn signatures_are_written_as_wit_writes_them() {
    let join = wanted::functions(HandlerKind::Events).into_iter().find(|(name, _)| *name == "join").unwrap().1;
    assert_eq!(join.to_string(), "func(room: u64, user: user) -> option<string>");
    let none = Signature { parameters: Vec::new(), result: None };
    assert_eq!(none.to_string(), "func()");
}
