//! What one instance carries with it: its settings, its share of memory, what it has printed, and the call that it is
//! in. Knows nothing of which functions are called.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::SettingsMap;
use super::fault::Overrun;
use super::output::Output;
use ondol_host_model::{Speaker, UserKey};
use ondol_host_process::worker;

/// A call that the clock has seen running for this long stops being the business of a worker: see [`watch`].
pub(super) const WORKER_SHARE: Duration = Duration::from_millis(2);

/// Table elements of one instance. Rust's own tables hold its functions, some hundred.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Handles of one instance to the host's resources (streams, above all).
pub(super) const HANDLES_MAX: usize = 1_000;

/// What one call may ask of random bytes at once. A host call cannot be interrupted, so each has to be short.
const RANDOM_BYTES_MAX: u64 = 65_536;

/// The host's side of one instance.
pub(super) struct State {
    wasi: WasiCtx,
    pub(super) table: ResourceTable,
    pub(super) settings: Arc<SettingsMap>,
    pub(super) memory: Memory,
    pub(super) output: Output,
    /// Those whom the call may ask for.
    present: Vec<Arc<Speaker>>,
    call: Call,
}

/// The call that an instance is in.
struct Call {
    /// When the clock first saw it running, which it does with one of thousands. Calls take no time of their own: each look
    /// at a clock waits for whatever the processor is in the midst of, and that would be a twentieth of each.
    seen: Option<Instant>,
    deadline: Duration,
    /// It was one of as many slow calls as there may be when the clock first found it slow.
    crowded: bool,
    slow: Option<SlowCall>,
    slow_calls: SlowCalls,
}

impl State {
    /// The state of a fresh instance. `deadline` is a call's, `memory_bytes_max` the instance's.
    pub(super) fn new(
        settings: Arc<SettingsMap>,
        deadline: Duration,
        memory_bytes_max: usize,
        log_bytes_max: usize,
        slow_calls: SlowCalls,
    ) -> Self {
        let output = Output::new(log_bytes_max);
        let wasi =
            WasiCtx::builder().stdout(output.clone()).stderr(output.clone()).max_random_size(RANDOM_BYTES_MAX).build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        Self {
            wasi,
            table,
            settings,
            memory: Memory { bytes: 0, bytes_max: memory_bytes_max },
            output,
            present: Vec::new(),
            call: Call { seen: None, deadline, crowded: false, slow: None, slow_calls },
        }
    }

    /// Marks the start of a call.
    pub(super) fn start_call(&mut self) {
        self.call.seen = None;
        self.call.crowded = false;
    }

    /// Lets the call ask who this is.
    pub(super) fn present(&mut self, speaker: &Arc<Speaker>) {
        self.present.push(Arc::clone(speaker));
    }

    /// Whoever has this key, of those whom the call may ask for.
    pub(super) fn user(&self, key: UserKey) -> Option<&Arc<Speaker>> {
        self.present.iter().find(|speaker| speaker.key() == key)
    }

    /// Marks its end, and gives up its place among the slow ones.
    pub(super) fn end_call(&mut self) {
        self.present.clear();
        self.call.slow = None;
    }

    /// For how long the clock has seen the call running that is under way, or has just ended: less than a tick too little.
    pub(super) fn ran(&self) -> Duration {
        self.call.ran()
    }
}

impl Call {
    /// For how long the clock has seen it running.
    fn ran(&self) -> Duration {
        self.seen.map_or(Duration::ZERO, |seen| seen.elapsed())
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Looks at a running call, once for each tick of the engine's clock.
///
/// Calls are made on the server's workers, because handing them to other threads would cost more than they take. One that
/// outgrows its share hands its worker's other tasks to a fresh thread and goes on alone, until its deadline: so a handler
/// that spins holds a thread, and no worker. How many may do so at once is bounded; one too many ends at the next tick. It
/// is not ended at the first: a call that the system left waiting for a CPU looks slow then as well, and is over by the next.
pub(super) fn watch(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let call = &mut store.data_mut().call;
    if call.seen.is_none() {
        call.seen = Some(Instant::now());
        return Ok(UpdateDeadline::Continue(1));
    }
    let ran = call.ran();
    if ran >= call.deadline {
        return Err(Overrun::Deadline(call.deadline).into());
    }
    // A thread of no runtime, such as a shadow's, takes nobody's worker.
    if ran >= WORKER_SHARE && call.slow.is_none() && tokio::runtime::Handle::try_current().is_ok() {
        match call.slow_calls.enter() {
            Some(slow) => {
                call.slow = Some(slow);
                worker::hand_off();
            }
            None if call.crowded => return Err(Overrun::TooManySlow(call.slow_calls.max).into()),
            None => call.crowded = true,
        }
    } else if call.slow.is_some() {
        // Again at each look: on a busy machine the first attempt may end before another thread has taken the worker over.
        worker::hand_off();
    }
    Ok(UpdateDeadline::Continue(1))
}

/// The calls of all handlers that have outgrown their worker.
#[derive(Clone)]
pub(super) struct SlowCalls {
    running: Arc<AtomicUsize>,
    max: usize,
}

/// A place among the slow calls, given back when dropped.
struct SlowCall(Arc<AtomicUsize>);

impl SlowCalls {
    /// Room for `max` at once.
    pub(super) fn new(max: usize) -> Self {
        Self { running: Arc::default(), max }
    }

    fn enter(&self) -> Option<SlowCall> {
        let place = |running| (running < self.max).then_some(running + 1);
        self.running.fetch_update(Ordering::AcqRel, Ordering::Acquire, place).ok()?;
        Some(SlowCall(Arc::clone(&self.running)))
    }
}

impl Drop for SlowCall {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The linear memory of one instance, in bytes.
pub(super) struct Memory {
    /// What it has now. It never shrinks, so this is also the most that it had.
    pub(super) bytes: usize,
    bytes_max: usize,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes.saturating_add(desired.saturating_sub(current));
        if bytes > self.bytes_max {
            return Err(Overrun::Memory(self.bytes_max).into());
        }
        self.bytes = bytes;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS_MAX {
            return Err(Overrun::Table(TABLE_ELEMENTS_MAX).into());
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn memory_counts_every_memory_of_an_instance() {
        let mut memory = Memory { bytes: 0, bytes_max: 100 };
        assert!(memory.memory_growing(0, 60, None).is_ok());
        assert!(memory.memory_growing(0, 50, None).is_err());
        assert!(memory.memory_growing(60, 100, None).is_ok());
        assert_eq!(memory.bytes, 100);
    }
}
