//! A release that is looked at while it answers: by its probation, and by a shadow that gets copies of what it is asked.
//! Without either a call costs what it costs.

use std::sync::Arc;
use std::time::Instant;

use super::call::{Answer, Call};
use super::fault::Fault;
use super::kind::HandlerKind;
use super::probation::Trial;
use super::release::Release;
use super::shadow::Shadow;

impl Release {
    /// The same versions, looked at by nobody.
    pub(super) fn bare(&self) -> Self {
        Self { trial: None, shadow: None, ..self.clone() }
    }

    /// The same versions, looked at by these.
    pub(super) fn observed(&self, trial: Option<Arc<Trial>>, shadow: Option<Arc<Shadow>>) -> Self {
        Self { trial, shadow, ..self.clone() }
    }

    /// Whether this is the release that `trial` is about.
    pub(super) fn is_on(&self, trial: &Arc<Trial>) -> bool {
        self.trial.as_ref().is_some_and(|own| Arc::ptr_eq(own, trial))
    }

    /// Asks one of its handlers. `call` is the same as a value, for whoever wants to ask it again.
    pub(super) fn ask<R: Clone + Into<Answer>>(
        &self,
        handler: HandlerKind,
        ask: impl Fn(&Self) -> Result<R, Fault>,
        call: impl FnOnce() -> Call,
    ) -> Result<R, Fault> {
        if self.trial.is_none() && self.shadow.is_none() {
            return ask(self);
        }
        let started = Instant::now();
        let answer = ask(self);
        let took = started.elapsed();
        if let Some(trial) = self.trial.as_ref().filter(|trial| trial.is_about(handler))
            && trial.called()
            && answer.is_ok()
        {
            // Now and then the version before is asked the same, here and at once: so both are measured alike.
            let started = Instant::now();
            let answered = ask(&trial.before().release).is_ok();
            trial.compared(handler, took, answered.then(|| started.elapsed()));
        }
        if let Some(shadow) = self.shadow.as_ref().filter(|shadow| shadow.is_about(handler)) {
            let told = answer.as_ref().map(|answer| answer.clone().into()).map_err(|fault| fault.cause.to_string());
            shadow.offer(call, told, took);
        }
        answer
    }

    /// Whoever answers for a version on probation that failed: the release to which its failing leads back.
    #[must_use]
    pub fn before(&self, fault: &Fault) -> Option<&Self> {
        let trial = self.trial.as_ref().filter(|trial| trial.is_about(fault.handler))?;
        Some(&trial.before().release)
    }

    /// Holds a fault against the version on probation: the version before has answered the same call.
    pub fn held_against(&self, fault: &Fault, call: &Call) {
        if let Some(trial) = &self.trial {
            trial.failed(fault, call);
        }
    }
}
