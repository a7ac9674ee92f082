//! Ports that stay free over a restart.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
};

/// An address that no other server of this process had. Its port is below those that the system gives to clients and to
/// servers that ask for any: a server that restarts finds it free.
#[must_use]
pub fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// The port of one.
pub(crate) fn free_port() -> u16 {
    held_port().0
}

/// The same, which no other process takes as long as the listener is there.
pub(crate) fn held_port() -> (u16, TcpListener) {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let offset = std::process::id().wrapping_mul(101).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if let Ok(port) = u16::try_from(FIRST + offset)
            && let Ok(listener) = TcpListener::bind(("127.0.0.1", port))
        {
            return (port, listener);
        }
    }
}
