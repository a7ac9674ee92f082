//! Where handlers run: an engine, what they may import, and their limits. Knows nothing of which version is active or
//! which functions a world has.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::component::{Component, InstancePre, Linker};

use super::call_figures::CallTable;
use super::code_cache::CodeCache;
use super::deadline::SlowCalls;
use super::engine::CodeLoader;
use super::fault_history::FaultHistory;
use super::handler_log::HandlerLog;
use super::instance::RunningInstance;
use super::instance_count::InstanceCount;
use super::kind::{Each, HandlerKind, SettingsMap};
use super::limits::{CallLimits, Failure, OnFault, SandboxLimits};
use super::recorder::Recorder;
use super::state::State;
use crate::compose::layers::layer_of_import;

/// The one sandbox of a process.
pub struct Sandbox {
    code: CodeLoader,
    linker: Linker<State>,
    limits: SandboxLimits,
    failure: Failure,
    slow_calls: SlowCalls,
    /// What handlers failed at.
    pub(crate) faults: FaultHistory,
    /// How many calls their versions answered.
    pub(crate) calls: CallTable,
    /// How many instances of each handler there are.
    pub(crate) instances: Each<InstanceCount>,
    /// What handlers print, and their faults.
    pub(crate) log: HandlerLog,
    /// Copies of calls, for one who asks.
    pub(crate) recorder: Recorder,
}

impl Sandbox {
    /// A sandbox under these limits. Compiled code is kept in the directory `cache`.
    ///
    /// # Errors
    ///
    /// When the engine cannot start or the cache cannot be opened.
    pub fn new(limits: &SandboxLimits, cache: Option<&Path>) -> anyhow::Result<Self> {
        let cache = cache.map(CodeCache::open).transpose()?;
        let code = CodeLoader::start(limits.calls.handler_stack_bytes_max, cache)?;
        let linker = super::wasi::linker(code.engine())?;
        Ok(Self {
            code,
            linker,
            limits: *limits,
            failure: Failure::default(),
            slow_calls: SlowCalls::new(limits.handler_slow_calls_max),
            faults: FaultHistory::default(),
            calls: CallTable::default(),
            instances: Each::default(),
            log: HandlerLog::default(),
            recorder: Recorder::default(),
        })
    }

    /// The same, with another compiler than this process.
    #[must_use]
    pub fn with_compiler(self, compile: impl Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync + 'static) -> Self {
        Self { code: self.code.with_compiler(Box::new(compile)), ..self }
    }

    /// The same, calling `announce` with the size of a component before it is compiled. What that returns is dropped when the
    /// compilation has ended.
    #[must_use]
    pub fn with_announcement(self, announce: impl Fn(usize) -> Box<dyn Any> + Send + Sync + 'static) -> Self {
        Self { code: self.code.with_announcement(Box::new(announce)), ..self }
    }

    /// The same, with built-in handlers that answer where the operator wants that.
    #[must_use]
    pub fn with_fallback(self, failure: Failure) -> Self {
        Self { failure, ..self }
    }

    /// Compiles a component, or loads its code from the cache.
    pub(crate) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        self.code.load(bytes)
    }

    /// Keeps what was compiled of these bytes in the cache for as long as the returned value lives.
    pub(crate) fn in_use(&self, bytes: &[u8]) -> Option<Arc<PathBuf>> {
        self.code.in_use(bytes)
    }

    pub(crate) fn engine(&self) -> &wasmtime::Engine {
        self.code.engine()
    }

    pub(crate) fn limits(&self) -> &SandboxLimits {
        &self.limits
    }

    /// Whether the built-in handler answers where this one fails or has no version.
    pub(crate) fn has_fallback(&self, handler: HandlerKind) -> bool {
        self.failure.of(handler) == OnFault::Default
    }

    /// Ties a component's imports to the host, once for all its instances.
    pub(crate) fn link(&self, component: &Component) -> wasmtime::Result<InstancePre<State>> {
        let ty = component.component_type();
        let layers: Vec<&str> = ty.imports(self.engine()).filter_map(|(name, _)| layer_of_import(name)).collect();
        if layers.is_empty() {
            return self.linker.instantiate_pre(component);
        }
        let mut linker = self.linker.clone();
        for layer in layers {
            super::state::add_layer_settings(&mut linker, layer)?;
        }
        linker.instantiate_pre(component)
    }

    /// A fresh instance.
    pub(crate) fn instantiate(
        &self,
        linked: &InstancePre<State>,
        settings: &Arc<SettingsMap>,
        limits: &CallLimits,
    ) -> wasmtime::Result<RunningInstance> {
        let state = State::new(Arc::clone(settings), limits, self.slow_calls.clone());
        RunningInstance::start(linked, state, limits)
    }
}
