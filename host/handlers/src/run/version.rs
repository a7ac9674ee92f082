//! One version of a handler: its linked component and the instances that are kept for it. Knows nothing of which
//! version is active.
//!
//! A fresh instance costs twenty times what a call does, so an instance answers a bounded number of calls and waits in
//! a pool in between. One that trapped or ran late is dropped: the state of its memory is unknown.
//!
//! Where a handler has no version, one without a component takes its place: each call of it fails, so that the built-in
//! handler answers.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::component::InstancePre;

use super::asked_keys::AskedKeys;
use super::exports::Exports;
use super::fault::{Cause, Fault};
use super::instance::RunningInstance;
use super::instance_count::Counted;
use super::kind::{SettingsMap, VersionId};
use super::limits::CallLimits;
use super::output;
use super::pool::{Pool, Slot};
use super::sandbox::Sandbox;
use super::state::State;
use super::warm_up;

type Store = wasmtime::Store<State>;

/// A component under its settings, ready to be called from many threads.
pub(crate) struct Version<E: Exports> {
    pub(crate) id: VersionId,
    /// None: there is no component.
    linked: Option<Linked<E>>,
    pub(crate) settings: Arc<SettingsMap>,
    /// Which of them it asks for.
    pub(crate) asked: Arc<AskedKeys>,
    sandbox: Arc<Sandbox>,
    idle: Pool<IdleInstance<E>>,
    /// Keeps its compiled code in the cache.
    _code: Option<Arc<PathBuf>>,
}

/// A component with its imports tied to the host, and where its exports are.
struct Linked<E: Exports> {
    component: InstancePre<State>,
    exports: E::Indices,
}

/// An instance that waits for its next call.
struct IdleInstance<E> {
    running: RunningInstance,
    exports: E,
    calls: usize,
    _counted: Counted,
}

impl<E: Exports> Version<E> {
    /// A version of these bytes under these settings.
    ///
    /// # Errors
    ///
    /// When it does not export what it has to.
    pub(crate) fn new(
        bytes: &[u8],
        component: InstancePre<State>,
        settings: &Arc<SettingsMap>,
        sandbox: &Arc<Sandbox>,
    ) -> wasmtime::Result<Self> {
        let exports = E::find(&component)?;
        Ok(Self {
            id: VersionId::of(bytes, settings),
            linked: Some(Linked { component, exports }),
            settings: Arc::clone(settings),
            asked: Arc::new(AskedKeys::new()),
            sandbox: Arc::clone(sandbox),
            idle: Pool::new(sandbox.limits().handler_instances_max),
            _code: sandbox.in_use(bytes),
        })
    }

    /// Takes the place of a version where there is none.
    pub(crate) fn none(settings: &Arc<SettingsMap>, sandbox: &Arc<Sandbox>) -> Self {
        let (settings, sandbox) = (Arc::clone(settings), Arc::clone(sandbox));
        let asked = Arc::new(AskedKeys::new());
        Self { id: VersionId::NONE, linked: None, settings, asked, sandbox, idle: Pool::new(0), _code: None }
    }

    /// Makes one call, in an instance that makes no other call meanwhile.
    pub(crate) fn call<R>(
        &self,
        function: &'static str,
        call: impl FnOnce(&E, &mut Store) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let Some(linked) = &self.linked else { return Err(self.fault(function, Cause::NoVersion)) };
        let slot = self.idle.slot();
        let mut instance = match slot.take() {
            Some(instance) => instance,
            None => self.instantiate(linked).map(Box::new).map_err(|error| {
                let cause = Cause::read(&error, self.limits()).to_string();
                self.fault(function, Cause::Instantiate(cause))
            })?,
        };
        warm_up::note(instance.calls, self.limits().handler_calls_per_instance_max);
        let IdleInstance { running, exports, .. } = &mut *instance;
        match running.call(|store, _| call(exports, store)) {
            Ok(answer) => {
                if let Some(printed) = running.store.data().output.take() {
                    output::log(&self.sandbox.log, &printed, E::KIND, self.id, function);
                }
                self.put_back(instance, slot);
                Ok(answer)
            }
            Err(error) => {
                let state = running.store.data();
                let (cause, printed) = error.cause(self.limits()).with_printed(state.output.take());
                let costly = state.timer.is_costly() || cause.was_slow();
                Err(Fault { costly, printed, ..self.fault(function, cause) })
            }
        }
    }

    /// The limits of its calls.
    fn limits(&self) -> &CallLimits {
        self.sandbox.limits().calls_of(Some(E::KIND))
    }

    /// A fault of this version.
    pub(crate) fn fault(&self, function: &'static str, cause: Cause) -> Fault {
        Fault { handler: E::KIND, version: self.id, function, cause, printed: None, costly: false }
    }

    fn instantiate(&self, linked: &Linked<E>) -> wasmtime::Result<IdleInstance<E>> {
        let mut running = self.sandbox.instantiate(&linked.component, &self.settings, self.limits())?;
        running.store.data_mut().asked = Some(Arc::clone(&self.asked));
        let exports = E::load(&linked.exports, &mut running.store, &running.instance)?;
        let counted = self.sandbox.instances.of(E::KIND).one_more();
        Ok(IdleInstance { running, exports, calls: 0, _counted: counted })
    }

    fn put_back(&self, mut instance: Box<IdleInstance<E>>, slot: &Slot<IdleInstance<E>>) {
        instance.calls += 1;
        if instance.calls < self.limits().handler_calls_per_instance_max {
            slot.put(instance);
        }
    }
}
