//! How long calls run: a clock that makes running calls look up, and what each decides then. Knows nothing of what is
//! called.
//!
//! Calls are made on the server's workers, because handing them to other threads would cost more than they take. A call
//! that runs for long hands its worker's other tasks to a fresh thread and goes on alone until its deadline: so a
//! handler that spins holds a thread, and no worker. How many may do so at once is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ondol_host_process::worker;

use super::fault::Overrun;

/// From one tick to the next: how finely a call's running time is checked. Each costs a wake-up of one thread.
const TICK: Duration = Duration::from_millis(5);

/// A call that the clock has seen running for this long hands off its worker.
const WORKER_SHARE: Duration = Duration::from_millis(2);

/// A clock, which runs for as long as this lives.
pub(crate) struct Clock(#[allow(dead_code, reason = "the thread looks whether it still exists")] Arc<()>);

impl Clock {
    /// Starts a clock that calls `tick` at each tick.
    ///
    /// # Errors
    ///
    /// When no thread is available.
    pub(crate) fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<Self> {
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

/// The running time of an instance's call.
pub(crate) struct CallTimer {
    /// When the clock first saw the call running, which it does with one of thousands. Calls take no time of their own:
    /// reading a clock waits for whatever the processor is in the midst of, and that would be a twentieth of each.
    seen: Option<Instant>,
    deadline: Duration,
    /// There was no room among the slow calls at the last tick.
    crowded: bool,
    slow: Option<SlowCall>,
    slow_calls: SlowCalls,
}

impl CallTimer {
    /// A timer for calls that have to end within `deadline`.
    pub(crate) fn new(deadline: Duration, slow_calls: SlowCalls) -> Self {
        Self { seen: None, deadline, crowded: false, slow: None, slow_calls }
    }

    /// A call starts.
    pub(crate) fn start(&mut self) {
        self.seen = None;
        self.crowded = false;
    }

    /// The call has ended.
    pub(crate) fn end(&mut self) {
        self.slow = None;
    }

    /// Whether the call that runs, or has just ended, took more of a worker than a call may.
    pub(crate) fn is_costly(&self) -> bool {
        self.ran() >= WORKER_SHARE
    }

    /// For how long the clock has seen the call running.
    fn ran(&self) -> Duration {
        self.seen.map_or(Duration::ZERO, |seen| seen.elapsed())
    }

    /// Checks the running call, at each tick of the clock.
    ///
    /// # Errors
    ///
    /// When the call has to end.
    pub(crate) fn check(&mut self) -> Result<(), Overrun> {
        if self.seen.is_none() {
            self.seen = Some(Instant::now());
            return Ok(());
        }
        if self.ran() >= self.deadline {
            return Err(Overrun::Deadline(self.deadline));
        }
        // A thread of no runtime, such as a shadow's, has no worker to hand off.
        if self.is_costly() && self.slow.is_none() && tokio::runtime::Handle::try_current().is_ok() {
            match self.slow_calls.enter() {
                Some(slow) => {
                    self.slow = Some(slow);
                    worker::hand_off();
                }
                // Not at the first tick: a call that waited for a CPU looks slow then as well, and is over by the next.
                None if self.crowded => return Err(Overrun::TooManySlow(self.slow_calls.max)),
                None => self.crowded = true,
            }
        } else if self.slow.is_some() {
            // Again at each tick: on a busy machine the first attempt may end before another thread has taken the
            // worker over.
            worker::hand_off();
        }
        Ok(())
    }
}

/// The calls of all handlers that have handed off their worker.
#[derive(Clone)]
pub(crate) struct SlowCalls {
    running: Arc<AtomicUsize>,
    max: usize,
}

/// A place among the slow calls, given back when dropped.
struct SlowCall(Arc<AtomicUsize>);

impl SlowCalls {
    /// Room for `max` at once.
    pub(crate) fn new(max: usize) -> Self {
        Self { running: Arc::default(), max }
    }

    fn enter(&self) -> Option<SlowCall> {
        let one_more = |running| (running < self.max).then_some(running + 1);
        self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(SlowCall(Arc::clone(&self.running)))
    }
}

impl Drop for SlowCall {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_clock_ticks_until_it_is_dropped() {
        let (tick, ticks) = mpsc::channel();
        let clock = Clock::start(move || tick.send(()).unwrap()).unwrap();
        for _ in 0..10 {
            ticks.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        drop(clock);
        while ticks.recv_timeout(Duration::from_secs(10)).is_ok() {}
        assert_eq!(ticks.try_recv(), Err(mpsc::TryRecvError::Disconnected), "its thread is gone");
    }

    #[test]
    fn slow_calls_are_bounded_and_give_their_place_back() {
        let calls = SlowCalls::new(2);
        let (first, second) = (calls.enter(), calls.enter());
        assert!(first.is_some() && second.is_some());
        assert!(calls.enter().is_none());
        drop(first);
        assert!(calls.enter().is_some());
    }

    #[test]
    fn a_call_ends_at_its_deadline_and_the_next_one_has_time_of_its_own() {
        let mut timer = CallTimer::new(Duration::ZERO, SlowCalls::new(1));
        timer.start();
        assert_eq!(timer.check(), Ok(()), "the first tick starts its time");
        assert_eq!(timer.check(), Err(Overrun::Deadline(Duration::ZERO)));
        timer.start();
        assert_eq!(timer.check(), Ok(()));
    }
}
