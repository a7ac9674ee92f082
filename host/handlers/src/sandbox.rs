//! Where handlers run: an engine, what they may import, and the limits of each. Knows nothing of which version is active
//! or which functions a world has.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Component, Instance, InstancePre, Linker};

use super::SettingsMap;
use super::aside::Aside;
use super::engine::Compiler;
use super::fault::Cause;
use super::faults::Faults;
use super::limits::{CallLimits, Failure, HandlersLimits, SandboxLimits};
use super::state::{HANDLES_MAX, SlowCalls, State, watch};

/// The one sandbox of a process.
pub struct Sandbox {
    compiler: Compiler,
    linker: Linker<State>,
    limits: HandlersLimits,
    failure: Failure,
    /// What handlers failed at, of this sandbox's.
    pub(super) faults: Arc<Faults>,
    slow_calls: SlowCalls,
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
    pub fn new(limits: &HandlersLimits, cache: Option<&Path>) -> anyhow::Result<Self> {
        let compiler = Compiler::start(limits.sandbox.calls.handler_stack_bytes_max, cache)?;
        let linker = super::wasi::linker(compiler.engine())?;
        let slow_calls = SlowCalls::new(limits.sandbox.handler_slow_calls_max);
        Ok(Self { compiler, linker, limits: *limits, failure: Failure::default(), faults: Arc::default(), slow_calls })
    }

    /// The same, compiling in a process of its own. `program` is this program.
    #[must_use]
    pub fn compiling_aside(self, program: PathBuf) -> Self {
        let aside = Aside::new(program, &self.limits);
        Self { compiler: self.compiler.aside(aside), ..self }
    }

    /// From now on compiling is to hold up nobody. Before, whoever starts waits for it and nobody else does.
    pub fn give_way(&self) {
        self.compiler.give_way();
    }

    /// The same, with somebody else to answer for handlers that fail.
    #[must_use]
    pub fn failing(self, failure: Failure) -> Self {
        Self { failure, ..self }
    }

    /// Compiles a component.
    pub(super) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        self.compiler.compile(bytes)
    }

    /// Keeps what was compiled from these bytes on the disk for as long as the answer lives.
    pub(super) fn in_use(&self, bytes: &[u8]) -> Option<Arc<std::path::PathBuf>> {
        self.compiler.in_use(bytes)
    }

    pub(super) fn engine(&self) -> &wasmtime::Engine {
        self.compiler.engine()
    }

    /// Every limit.
    pub(super) fn all_limits(&self) -> &HandlersLimits {
        &self.limits
    }

    /// The limits of running handlers.
    pub(super) fn limits(&self) -> &SandboxLimits {
        &self.limits.sandbox
    }

    /// Who answers for handlers that fail.
    pub(super) fn failure(&self) -> Failure {
        self.failure
    }

    /// Ties a component's imports to the host, once for all its instances.
    pub(super) fn link(&self, component: &Component) -> wasmtime::Result<InstancePre<State>> {
        self.linker.instantiate_pre(component)
    }

    /// A fresh instance, under limits of this sandbox's.
    pub(super) fn instantiate(
        &self,
        linked: &InstancePre<State>,
        settings: &Arc<SettingsMap>,
        limits: &CallLimits,
    ) -> wasmtime::Result<Running> {
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
        store.set_max_component_handles(HANDLES_MAX);
        store.epoch_deadline_callback(watch);
        store.set_epoch_deadline(1);
        let instance = linked.instantiate(&mut store)?;
        Ok(Running { store, instance })
    }
}

/// Why a call has no answer.
pub(super) enum Failed {
    /// What wasmtime tells.
    Guest(wasmtime::Error),
    /// The host panicked, with these words.
    Host(String),
}

impl Failed {
    /// The cause, as the operator is to read it. `limits` are those in force.
    pub(super) fn cause(&self, limits: &CallLimits) -> Cause {
        match self {
            Self::Guest(error) => Cause::read(error, limits),
            Self::Host(words) => Cause::Host(words.clone()),
        }
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(ToString::to_string);
    words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason was given".to_owned())
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
    ) -> Result<R, Failed> {
        self.store.data_mut().start_call();
        self.store.set_epoch_deadline(1);
        // A panic of the host's in the midst of a guest's call would take the task, and with it a connection or a room,
        // along. The instance is not used again, so nothing is seen half changed.
        let outcome = catch_unwind(AssertUnwindSafe(|| call(&mut self.store, &self.instance)));
        self.store.data_mut().end_call();
        match outcome {
            Ok(outcome) => outcome.map_err(Failed::Guest),
            Err(panic) => Err(Failed::Host(words(&*panic))),
        }
    }

    /// What the call cost that has just ended, and took so long.
    pub(super) fn cost(&self, took: Duration) -> Cost {
        let state = self.store.data();
        Cost { took, memory_bytes: state.memory.bytes, printed: state.output.take() }
    }
}
