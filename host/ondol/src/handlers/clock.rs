//! The clock by which running calls are looked at. Each tick makes whatever runs in a sandbox look up, and whoever is called then
//! decides. Knows nothing of calls.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

/// From one tick to the next: how finely a call's running time is looked at. Each costs a wake-up of one thread.
const TICK: Duration = Duration::from_millis(5);

/// The same while something is to be found out soon.
const CLOSE_TICK: Duration = Duration::from_millis(1);

/// How many ticks are close after a call that failed had taken too long of its worker: the next such one is near.
const CLOSE_TICKS: u32 = 10_000;

/// How many are close after one that found a call running: enough to see whether it outgrows its worker.
const AGAIN_TICKS: u32 = 2;

/// A clock, which runs for as long as one of these lives.
#[derive(Clone, Default)]
pub(super) struct Clock(Arc<Pace>);

/// How closely it ticks.
#[derive(Default)]
struct Pace {
    /// How many ticks are still to be close ones, because a call that failed had taken too long.
    close: AtomicU32,
    /// The same, because a call was found running.
    again: AtomicU32,
    /// The thread that ticks.
    thread: OnceLock<Thread>,
}

impl Clock {
    /// Starts a clock that calls `tick` at each tick.
    ///
    /// # Errors
    ///
    /// When no thread can be had.
    pub(super) fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let clock = Self::default();
        let pace = Arc::downgrade(&clock.0);
        let thread = std::thread::Builder::new().name("handler-clock".to_owned()).spawn(move || {
            while let Some(next) = pace.upgrade().map(|pace| pace.next()) {
                std::thread::park_timeout(next);
                tick();
            }
        })?;
        let _ = clock.0.thread.set(thread.thread().clone());
        Ok(clock)
    }

    /// Whether it ticks closely, since a call that failed had taken too long.
    pub(super) fn is_close(&self) -> bool {
        self.0.close.load(Ordering::Relaxed) > 0
    }

    /// A call that failed has taken too long: ticks closely for ten seconds.
    pub(super) fn look_closely(&self) {
        self.0.close.store(CLOSE_TICKS, Ordering::Relaxed);
    }

    /// A call was found running: ticks at once and then closely, until that is over or is seen to take long.
    pub(super) fn look_again(&self) {
        self.0.again.store(AGAIN_TICKS, Ordering::Relaxed);
        if let Some(thread) = self.0.thread.get() {
            thread.unpark();
        }
    }
}

impl Pace {
    /// How long it is to the next tick, which is counted.
    fn next(&self) -> Duration {
        let (close, again) = (count(&self.close), count(&self.again));
        if close || again { CLOSE_TICK } else { TICK }
    }
}

/// Counts down. Whether there was anything left.
fn count(ticks: &AtomicU32) -> bool {
    ticks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use std::sync::mpsc;

    use super::*;

    fn next(clock: &Clock, times: u32) -> Vec<Duration> {
        (0..times).map(|_| clock.0.next()).collect()
    }

    #[test]
    fn it_looks_closely_for_a_while() {
        let clock = Clock::default();
        assert_eq!(next(&clock, 1), [TICK]);
        clock.look_again();
        assert!(!clock.is_close(), "which is for calls that failed");
        assert_eq!(next(&clock, AGAIN_TICKS + 1), [[CLOSE_TICK; 2].as_slice(), &[TICK]].concat());
        clock.look_closely();
        clock.look_again();
        assert_eq!(next(&clock, CLOSE_TICKS).last(), Some(&CLOSE_TICK), "the two do not add up");
        assert!(!clock.is_close());
        assert_eq!(next(&clock, 1), [TICK]);
    }

    #[test]
    fn it_ticks_until_nobody_has_it() {
        let (tick, ticks) = mpsc::channel();
        let clock = Clock::start(move || tick.send(()).unwrap()).unwrap();
        for _ in 0..10 {
            ticks.recv_timeout(Duration::from_secs(10)).unwrap();
            clock.look_again();
        }
        drop(clock);
        while ticks.recv_timeout(Duration::from_secs(10)).is_ok() {}
        assert_eq!(ticks.try_recv(), Err(mpsc::TryRecvError::Disconnected), "its thread is gone");
    }
}
