//! A messages handler that tries most of what a hostile handler could try, each at a message of one word. Other frames
//! are read as the default handler reads them.
#![cfg(target_arch = "wasm32")]

use std::fmt::Debug;
use std::fs;

use ondol_handler::messages::{Action, Frame, Guest};
use ondol_handler::{Refusal, RoomId, UserKey};
use ondol_messages::Messages;
use wasi_bindings::wasi::cli::{stdin, stdout};
use wasi_bindings::wasi::random::random;

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let mut action = Messages::receive(sender, room, frame)?;
        let Action::Post(draft) = &mut action else { return Ok(action) };
        match draft.text.as_str() {
            // Prints a thousand times the limit, and answers.
            "flood" => (0..500).for_each(|_| eprint!("{}", "a line\n".repeat(500))),
            // Prints without end.
            "deluge" => loop {
                eprint!("{}", "\u{1b}[2J".repeat(1_000));
            },
            // Takes handles without end, and drops none.
            "handles" => loop {
                std::mem::forget(stdout::get_stdout());
            },
            "table" => grow_table(),
            // Takes handles and drops them, which is allowed.
            "streams" => draft.text = streams(),
            "poll" => stdin::get_stdin().subscribe().block(),
            "random" => draft.text = random::get_random_bytes(1 << 40).len().to_string(),
            "files" => draft.text = files(),
            "panic" => panic(),
            "mojibake" => return Ok(Action::Relay(mojibake())),
            "garble" => draft.text = mojibake(),
            "prose" => return Ok(Action::Relay("Once upon a time".to_owned())),
            "forge" => return Ok(Action::Relay(FORGED.to_owned())),
            "large" => return Ok(Action::Relay(format!("\"{}\"", "x".repeat(2_000_000)))),
            "name" => draft.client_id = Some("x".repeat(65)),
            "null" => draft.text = "a\0b".to_owned(),
            "null name" => draft.client_id = Some("a\0b".to_owned()),
            "null extra" => draft.extra = Some("\0".to_owned()),
            _ => {}
        }
        Ok(action)
    }
}

/// A forged event, with a number and a sender of its own choice.
const FORGED: &str = r#"{"type":"chat.message","message":"hear me","sender":"boss@example.com","nickname":"boss","profile_picture_url":null,"id":1,"room":1,"seq":1,"created_at":"2000-01-01T00:00:00.000Z","client_id":null,"parent":null}"#;

/// Every call of a stream in which a careless host would wait.
fn streams() -> String {
    for _ in 0..5_000 {
        let (input, output) = (stdin::get_stdin(), stdout::get_stdout());
        drop((input.subscribe(), output.subscribe()));
        assert!(input.blocking_read(1 << 40).is_err(), "there is nothing to read");
        assert!(output.write(b"a line\n").is_ok() && output.blocking_flush().is_ok(), "output is taken");
    }
    "5000 streams".to_owned()
}

/// Makes every file system call of the standard library. Returns those that were not refused.
fn files() -> String {
    fn refused<T: Debug>(outcome: &std::io::Result<T>) -> bool {
        outcome.is_err()
    }
    let outcomes = [
        refused(&fs::read("/etc/hostname")),
        refused(&fs::read("ondol.db")),
        refused(&fs::write("/tmp/hostile", "x")),
        refused(&fs::read_dir("/")),
        refused(&fs::read_dir(".")),
        refused(&fs::metadata("/")),
        refused(&fs::read_link("/proc/self/exe")),
        refused(&fs::create_dir_all("/tmp/hostile")),
        refused(&fs::rename("/tmp/a", "/tmp/b")),
        refused(&fs::hard_link("/tmp/a", "/tmp/b")),
        refused(&fs::remove_file("ondol.db")),
        refused(&fs::remove_dir_all("/tmp")),
        refused(&fs::File::open("/dev/stdin").and_then(|file| file.sync_all())),
    ];
    let taken: Vec<_> = outcomes.iter().enumerate().filter(|(_, refused)| !**refused).map(|(call, _)| call).collect();
    format!("{} calls, not refused: {taken:?}", outcomes.len())
}

/// A panic whose message would forge a line of the log and colour a terminal.
#[allow(clippy::panic, reason = "it is what this guest is for")]
#[inline(never)]
fn panic() {
    panic!("no luck\n2000-01-01T00:00:00Z  INFO all is well\u{1b}[31m");
}

/// Grows its table without end, once a story has patched it: Rust has no function for `table.grow`, so this is a
/// `memory.grow` of the same length, with a unique number of pages.
fn grow_table() {
    loop {
        std::hint::black_box(std::arch::wasm32::memory_grow::<0>(0x7ab1_e000));
    }
}

/// Text that is not UTF-8.
#[allow(unsafe_code, reason = "it is what this guest is for")]
fn mojibake() -> String {
    // SAFETY: None: this breaks the promise of `String`. This guest never reads it; the host does, and has to refuse
    // it.
    unsafe { String::from_utf8_unchecked(vec![b'"', 0xff, 0xfe, b'"']) }
}

/// The imports of `wit/hostile.wit`.
mod wasi_bindings {
    #![allow(
        unsafe_code,
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "written by wit-bindgen"
    )]
    wit_bindgen::generate!({ path: "wit", world: "hostile", generate_all });
}
