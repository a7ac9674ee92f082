//! Types held against the contract; and the default handlers against their worlds, where `make handlers` has built them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::shape::{Shape, Signature};
use super::*;
use crate::limits::HandlersLimits;

/// A built handler.
fn built(handler: HandlerKind) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/handlers");
    std::fs::read(directory.join(handler.file_name())).expect("`make handlers` comes first")
}

fn sandbox() -> Sandbox {
    Sandbox::new(&HandlersLimits::for_tests(), None).unwrap()
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
    assert_eq!(told, ["it does not export ondol:chat/events@0.2.0; it exports ondol:chat/rooms@0.2.0"]);
}

#[test]
fn what_is_no_component_is_told_what_it_is() {
    let told = sandbox().inspect(b"(component)").unwrap_err().to_string();
    assert!(told.contains("WebAssembly text"), "{told}");
    let told = sandbox().inspect(b"\0asm\x0d\0\x01\0\x63\x01\0").unwrap_err().to_string();
    assert!(told.starts_with("it does not compile: "), "{told}");
}

/// A function as the contract has it.
fn function(handler: HandlerKind, name: &str) -> Signature {
    wanted::functions(handler).into_iter().find(|(function, _)| *function == name).unwrap().1
}

fn join() -> Signature {
    function(HandlerKind::Events, "join")
}

#[test]
fn a_difference_names_its_place_and_both_sides() {
    assert_eq!(join().difference(&join()), None);

    let mut other = join();
    let Some((_, Shape::Record(user))) = other.parameters.last_mut() else { unreachable!("a user is a record") };
    user.last_mut().unwrap().1 = Shape::Plain("string");
    assert_eq!(
        join().difference(&other).as_deref(),
        Some("at user.profile-url: wanted option<string>, provided string")
    );

    other.parameters.pop();
    let told = join().difference(&other).unwrap();
    assert!(told.contains("wanted func(room: u64, user: user) -> option<string>"), "{told}");
}

#[test]
fn a_record_with_another_field_is_shown_with_its_fields() {
    let setting = || wanted::given("settings").unwrap();
    let mut other = setting();
    other.result = Some(Shape::Record(vec![("x".to_owned(), Shape::Plain("u8"))]));
    assert_eq!(
        setting().difference(&other).as_deref(),
        Some("at the answer: wanted option<string>, provided record { x: u8 }")
    );
}

#[test]
fn signatures_are_written_as_wit_writes_them() {
    assert_eq!(join().to_string(), "func(room: u64, user: user) -> option<string>");
    let receive = "func(sender: u64, room: u64, frame: frame) -> result<action, refusal>";
    assert_eq!(function(HandlerKind::Messages, "receive").to_string(), receive);
    let none = Signature { parameters: Vec::new(), result: None };
    assert_eq!(none.to_string(), "func()");
}
