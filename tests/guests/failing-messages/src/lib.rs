//! A messages handler that fails in the way that the frame asks for, each in a function of its own. It is built with debug
//! information, as an author builds while looking for a fault.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use ondol_handler::messages::Guest;
use ondol_handler::{Action, Frame, Refusal, RoomId, UserKey, users};

struct Component;

ondol_handler::export_messages!(Component);

impl Guest for Component {
    fn receive(sender: UserKey, _room: RoomId, frame: Frame) -> Result<Action, Refusal> {
        let Frame::Text(text) = frame else { return Ok(Action::Ignore) };
        match text.as_str() {
            "panic" => fail_by_panic(),
            "trap" => fail_by_trap(),
            "loop" => fail_by_loop(),
            "recursion" => drop(black_box(fail_by_recursion(0))),
            "memory" => fail_by_memory(),
            "stranger" => fail_by_stranger(sender),
            "bounds" => fail_by_bounds(),
            "exit" => fail_by_exit(),
            _ => {}
        }
        Ok(Action::Ignore)
    }
}

#[inline(never)]
#[allow(clippy::panic, reason = "it is what this guest is for")]
fn fail_by_panic() {
    panic!("as it was asked");
}

#[inline(never)]
fn fail_by_trap() {
    core::arch::wasm32::unreachable();
}

#[inline(never)]
fn fail_by_loop() {
    loop {
        black_box(());
    }
}

/// Uses the result of the inner call, so that no optimiser can make a loop of it.
#[inline(never)]
fn fail_by_recursion(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return depth;
    }
    black_box(fail_by_recursion(depth + 1) ^ depth)
}

#[inline(never)]
fn fail_by_memory() {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1_u8; 1_000_000]));
    }
}

#[inline(never)]
fn fail_by_stranger(sender: UserKey) {
    black_box(users::get(sender + 1_000));
}

/// Reads near the end of the address space, which no memory reaches.
#[inline(never)]
#[allow(unsafe_code, reason = "it is what this guest is for")]
fn fail_by_bounds() {
    let address = black_box(0xffff_fff0_usize) as *const u8;
    // SAFETY: None: the sandbox has to end the call here.
    black_box(unsafe { address.read_volatile() });
}

#[inline(never)]
fn fail_by_exit() {
    std::process::exit(black_box(1));
}
