//! Calls in one instance, one after another, as a server makes them. After a fault the next call has a fresh instance.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use wasmtime::component::{Func, Val};

use super::{Called, DynamicCallError, DynamicCaller, Export, Outcome, checked, outcome_of};
use crate::admit::dynamic_call::read::Reader;
use crate::run::fault::Cause;
use crate::run::instance::{CallFailure, Cost, RunningInstance};
use crate::run::kind::SettingsMap;

/// An instance and its settings.
pub struct Session<'a> {
    caller: &'a DynamicCaller<'a>,
    settings: Arc<SettingsMap>,
    running: Option<RunningInstance>,
    reader: Reader,
}

impl<'a> Session<'a> {
    pub(super) fn new(caller: &'a DynamicCaller<'a>, settings: &SettingsMap) -> Self {
        Self { caller, settings: Arc::new(settings.clone()), running: None, reader: Reader::default() }
    }

    /// Makes one call of `name` (`INTERFACE.FUNCTION`). `arguments` is the array of arguments, or the argument itself
    /// where the function takes one. A user who is written out is the same user in each call.
    ///
    /// # Errors
    ///
    /// When there is no such function, or an argument is not of its type. A fault is an outcome here, and no error.
    pub fn call(&mut self, name: &str, arguments: &Json) -> Result<Called, DynamicCallError> {
        let export = self.caller.export(name)?;
        self.reader.senders.clear();
        let arguments = export.arguments(arguments, &mut self.reader)?;
        Ok(self.run(&export, &arguments))
    }

    fn run(&mut self, export: &Export, arguments: &[Val]) -> Called {
        let handler = export.name.split('.').next().and_then(|interface| interface.parse().ok());
        let limits = self.caller.sandbox.limits().calls_of(handler);
        let (mut running, started) = match self.running.take() {
            Some(running) => (running, None),
            None => {
                let before = Instant::now();
                match self.caller.sandbox.instantiate(&self.caller.linked, &self.settings, limits) {
                    Ok(running) => (running, Some(before.elapsed())),
                    Err(error) => {
                        let cost = Cost { started: None, took: Duration::ZERO, memory_bytes: 0, printed: None };
                        return Called { outcome: Outcome::Fault(Cause::read(&error, limits)), cost };
                    }
                }
            }
        };
        let mut answers = vec![Val::Bool(false); export.function.results().len()];
        let (outcome, took) = self.call_in(&mut running, export, arguments, &mut answers);
        let mut cost = Cost { started, ..running.cost(took) };
        let outcome = match outcome {
            Ok(()) => checked(&export.name, outcome_of(answers.pop())),
            Err(failed) => {
                let (cause, printed) = failed.cause(limits).with_printed(cost.printed);
                cost.printed = printed;
                Outcome::Fault(cause)
            }
        };
        if !matches!(outcome, Outcome::Fault(_)) {
            self.running = Some(running);
        }
        Called { outcome, cost }
    }

    /// The call, and how long it took.
    fn call_in(
        &self,
        running: &mut RunningInstance,
        export: &Export,
        arguments: &[Val],
        answers: &mut [Val],
    ) -> (Result<(), CallFailure>, Duration) {
        let mut took = Duration::ZERO;
        let senders = &self.reader.senders;
        let outcome = running.call(|store, instance| {
            senders.iter().for_each(|sender| store.data_mut().present(sender));
            let (interface, name) = &export.path;
            let missing = || wasmtime::format_err!("the instance has no {}", export.name);
            let interface = match interface {
                Some(interface) => Some(instance.get_export_index(&mut *store, None, interface).ok_or_else(missing)?),
                None => None,
            };
            let index = instance.get_export_index(&mut *store, interface.as_ref(), name).ok_or_else(missing)?;
            let function: Func = instance.get_func(&mut *store, index).ok_or_else(missing)?;
            let before = Instant::now();
            let called = function.call(store, arguments, answers);
            took = before.elapsed();
            called
        });
        (outcome, took)
    }
}
