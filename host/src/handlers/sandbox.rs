//! Where handlers run: an engine, what they may import, and the limits of each. Knows nothing of which version is active
//! or which functions a world has.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre, Linker};

use super::SettingsMap;
use super::engine::Compiler;
use super::fault::Cause;
use super::state::{SlowCalls, State, watch};
use crate::config::Limits;

/// The one sandbox of a process.
pub struct Sandbox {
    compiler: Compiler,
    linker: Linker<State>,
    limits: Limits,
    slow_calls: SlowCalls,
    overdue: AtomicBool,
}

/// What a call cost.
#[derive(Clone, Debug)]
pub struct Cost {
    /// From its start to its answer.
    pub took: Duration,
    /// The linear memory of its instance, in bytes.
    pub memory_bytes: usize,
    /// The end of what it printed.
    pub printed: Option<String>,
}

impl Sandbox {
    /// A sandbox under these limits. Compiled code is kept in `cache`.
    ///
    /// # Errors
    ///
    /// When the engine cannot start or the cache cannot be made.
    pub fn new(limits: &Limits, cache: Option<&Path>) -> anyhow::Result<Self> {
        let compiler = Compiler::start(limits.handler_stack_bytes_max, cache)?;
        let linker = super::wasi::linker(compiler.engine())?;
        let slow_calls = SlowCalls::new(limits.handler_slow_calls_max);
        Ok(Self { compiler, linker, limits: limits.clone(), slow_calls, overdue: AtomicBool::new(false) })
    }

    /// Compiles a component.
    pub(super) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        self.compiler.compile(bytes)
    }

    /// What was compiled from the same bytes before, if it was kept: takes less than a millisecond.
    pub(super) fn compiled_before(&self, bytes: &[u8]) -> Option<Component> {
        self.compiler.compiled_before(bytes)
    }

    /// Whether something is being compiled that has taken longer than it may.
    pub(super) fn overdue(&self) -> &AtomicBool {
        &self.overdue
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        self.compiler.engine()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Ties a component's imports to the host, once for all its instances.
    pub(super) fn link(&self, component: &Component) -> wasmtime::Result<InstancePre<State>> {
        self.linker.instantiate_pre(component)
    }

    /// A fresh instance.
    pub(super) fn instantiate(
        &self,
        linked: &InstancePre<State>,
        settings: &Arc<SettingsMap>,
    ) -> wasmtime::Result<Running> {
        let limits = &self.limits;
        let state = State::new(
            Arc::clone(settings),
            Duration::from_millis(limits.handler_deadline_ms),
            limits.handler_memory_bytes_max,
            limits.handler_log_bytes_max,
            self.slow_calls.clone(),
        );
        let mut store = Store::new(self.compiler.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(limits.handler_answer_bytes_max);
        store.set_max_component_handles(1_000);
        store.epoch_deadline_callback(watch);
        store.set_epoch_deadline(1);
        let instance = linked.instantiate(&mut store)?;
        Ok(Running { store, instance })
    }

    /// Reads an error of wasmtime's.
    pub(super) fn cause(&self, error: &wasmtime::Error) -> Cause {
        Cause::read(error, self.limits.handler_stack_bytes_max, self.limits.handler_answer_bytes_max)
    }
}

/// An instance, and the store that it lives in.
pub(super) struct Running {
    pub(super) store: Store<State>,
    pub(super) instance: Instance,
}

impl Running {
    /// Makes one call under the limits. After an error the instance must not be used again: a trap leaves its memory as
    /// it was in the middle of something.
    pub(super) fn call<R>(
        &mut self,
        call: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<R>,
    ) -> (wasmtime::Result<R>, Duration) {
        self.store.data_mut().start_call();
        self.store.set_epoch_deadline(1);
        let outcome = call(&mut self.store, &self.instance);
        (outcome, self.store.data_mut().end_call())
    }

    /// What the last call cost.
    pub(super) fn cost(&self, took: Duration) -> Cost {
        let state = self.store.data();
        Cost { took, memory_bytes: state.memory.bytes, printed: state.output.take() }
    }
}
