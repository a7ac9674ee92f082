//! One running instance, and how a call in it ends. Knows no function.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::fault::Cause;
use super::limits::{CallLimits, HANDLES_MAX};
use super::state::{State, check_time};

/// An instance, and the store that it lives in.
pub(crate) struct RunningInstance {
    pub(crate) store: Store<State>,
    pub(crate) instance: Instance,
}

/// What a call cost.
#[derive(Clone, Debug)]
pub struct Cost {
    /// How long the start of its instance took. None: the instance had started before.
    pub started: Option<Duration>,
    /// From the call to its answer.
    pub took: Duration,
    /// The linear memory of its instance, in bytes.
    pub memory_bytes: usize,
    /// The end of its output.
    pub printed: Option<String>,
}

/// Why a call has no answer.
pub(crate) enum CallFailure {
    /// What wasmtime reports.
    Guest(wasmtime::Error),
    /// The host panicked, with this message.
    Host(String),
}

impl RunningInstance {
    /// A fresh instance under these limits.
    pub(crate) fn start(linked: &InstancePre<State>, state: State, limits: &CallLimits) -> wasmtime::Result<Self> {
        let mut store = Store::new(linked.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits.handler_answer_bytes_max);
        store.set_max_component_handles(HANDLES_MAX);
        store.epoch_deadline_callback(check_time);
        store.set_epoch_deadline(1);
        let instance = linked.instantiate(&mut store)?;
        Ok(Self { store, instance })
    }

    /// Makes one call. After an error the instance must not be used again: a trap leaves its memory as it was in the
    /// middle of something.
    pub(crate) fn call<R>(
        &mut self,
        call: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallFailure> {
        self.store.data_mut().timer.start();
        self.store.set_epoch_deadline(1);
        // A panic of the host during a guest's call would end the task, and with it a connection or a room. The
        // instance is not used again, so no code sees it half changed.
        let outcome = catch_unwind(AssertUnwindSafe(|| call(&mut self.store, &self.instance)));
        self.store.data_mut().end_call();
        match outcome {
            Ok(outcome) => outcome.map_err(CallFailure::Guest),
            Err(panic) => Err(CallFailure::Host(message(&*panic))),
        }
    }

    /// The cost of the call that has just ended and took so long.
    pub(crate) fn cost(&self, took: Duration) -> Cost {
        let state = self.store.data();
        Cost { started: None, took, memory_bytes: state.memory.bytes, printed: state.output.take() }
    }
}

impl CallFailure {
    /// The cause, as the operator reads it. `limits` are those in force.
    pub(crate) fn cause(&self, limits: &CallLimits) -> Cause {
        match self {
            Self::Guest(error) => Cause::read(error, limits),
            Self::Host(message) => Cause::Host(message.clone()),
        }
    }
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().map(ToString::to_string);
    message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
