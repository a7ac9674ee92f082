//! The clock by which running calls are looked at. Each tick makes whatever runs in a sandbox look up; [`watch`](super::state::watch)
//! decides then. Knows nothing of calls.

use std::sync::Arc;
use std::time::Duration;

/// From one tick to the next: how finely a call's running time is looked at. Each costs a wake-up of one thread.
const TICK: Duration = Duration::from_millis(5);

/// A clock, which runs for as long as this lives.
pub(super) struct Clock(#[allow(dead_code, reason = "the thread counts who holds it")] Arc<()>);

impl Clock {
    /// Starts a clock that calls `tick` at each tick.
    ///
    /// # Errors
    ///
    /// When no thread can be had.
    pub(super) fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let clock = Arc::new(());
        let alive = Arc::downgrade(&clock);
        std::thread::Builder::new().name("handler-clock".to_owned()).spawn(move || {
            while alive.strong_count() > 0 {
                std::thread::sleep(TICK);
                tick();
            }
        })?;
        Ok(Self(clock))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn it_ticks_until_it_is_dropped() {
        let (tick, ticks) = mpsc::channel();
        let clock = Clock::start(move || tick.send(()).unwrap()).unwrap();
        for _ in 0..10 {
            ticks.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        drop(clock);
        while ticks.recv_timeout(Duration::from_secs(10)).is_ok() {}
        assert_eq!(ticks.try_recv(), Err(mpsc::TryRecvError::Disconnected), "its thread is gone");
    }
}
