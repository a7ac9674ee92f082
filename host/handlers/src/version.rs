//! One version of a handler: its linked component and the instances that are kept for it. Knows nothing of which version
//! is active.
//!
//! A fresh instance costs twenty times what a call does, so an instance answers a bounded number of calls and rests here
//! in between. One that trapped or ran late is dropped: nobody knows in what state its memory is.
//!
//! Where a handler has no version, one without a component stands in its place: each call of it fails, and whoever asked
//! leaves it to the built-in handler.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::InstancePre;

use super::SettingsMap;
use super::exports::Exports;
use super::fault::{Cause, Fault};
use super::kind::VersionId;
use super::limits::CallLimits;
use super::output;
use super::pool::{Place, Pool};
use super::sandbox::{Running, Sandbox};
use super::state::State;

type Store = wasmtime::Store<State>;

/// A component under its settings, ready to be called from many threads.
pub(super) struct Version<E> {
    pub(super) id: VersionId,
    /// None: there is no component.
    linked: Option<InstancePre<State>>,
    pub(super) settings: Arc<SettingsMap>,
    pub(super) sandbox: Arc<Sandbox>,
    resting: Pool<Kept<E>>,
    /// Its compiled code is kept on the disk meanwhile.
    _code: Option<Arc<PathBuf>>,
}

/// An instance at rest.
struct Kept<E> {
    running: Running,
    exports: E,
    calls: usize,
}

impl<E: Exports> Version<E> {
    pub(super) fn new(
        id: VersionId,
        linked: InstancePre<State>,
        settings: Arc<SettingsMap>,
        sandbox: Arc<Sandbox>,
        code: Option<Arc<PathBuf>>,
    ) -> Self {
        let resting = Pool::new(sandbox.limits().handler_instances_max);
        Self { id, linked: Some(linked), settings, sandbox, resting, _code: code }
    }

    /// In the place of a version, where there is none.
    pub(super) fn none(settings: Arc<SettingsMap>, sandbox: Arc<Sandbox>) -> Self {
        Self { id: VersionId::NONE, linked: None, settings, sandbox, resting: Pool::new(0), _code: None }
    }

    /// What the operator has set for it.
    pub(super) fn settings(&self) -> &Arc<SettingsMap> {
        &self.settings
    }

    /// Makes one call, in an instance that nobody else uses meanwhile.
    pub(super) fn call<R>(
        &self,
        function: &'static str,
        call: impl FnOnce(&E, &mut Store) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let Some(linked) = &self.linked else { return Err(self.fault(function, Cause::NoVersion, None)) };
        let place = self.resting.place();
        let mut kept = match place.take() {
            Some(kept) => kept,
            None => self.instantiate(linked).map(Box::new).map_err(|error| {
                let cause = Cause::read(&error, self.limits()).to_string();
                self.fault(function, Cause::Instantiate(cause), None)
            })?,
        };
        let Kept { running, exports, .. } = &mut *kept;
        match running.call(|store, _| call(exports, store)) {
            Ok(answer) => {
                if let Some(printed) = running.store.data().output.take() {
                    output::log(&printed, E::KIND, self.id, function);
                }
                self.rest(kept, place);
                Ok(answer)
            }
            Err(failed) => {
                let state = running.store.data();
                let (took, printed) = (state.ran(), state.output.take());
                let (cause, printed) = failed.cause(self.limits()).with_printed(printed);
                Err(Fault { took, ..self.fault(function, cause, printed) })
            }
        }
    }

    /// The limits that hold for it.
    pub(super) fn limits(&self) -> &CallLimits {
        self.sandbox.limits().calls_of(Some(E::KIND))
    }

    /// A fault of this version.
    pub(super) fn fault(&self, function: &'static str, cause: Cause, printed: Option<String>) -> Fault {
        let book = Arc::clone(&self.sandbox.faults);
        Fault { handler: E::KIND, version: self.id, function, cause, printed, took: Duration::ZERO, book }
    }

    fn instantiate(&self, linked: &InstancePre<State>) -> wasmtime::Result<Kept<E>> {
        let mut running = self.sandbox.instantiate(linked, &self.settings, self.limits())?;
        let exports = E::find(&running.instance, &mut running.store)?;
        Ok(Kept { running, exports, calls: 0 })
    }

    fn rest(&self, mut kept: Box<Kept<E>>, place: &Place<Kept<E>>) {
        kept.calls += 1;
        if kept.calls < self.limits().handler_calls_per_instance_max {
            place.put(kept);
        }
    }
}
