//! The admission checks: from a file's bytes to a version that can answer, step by step. The first step that fails
//! reports all of its reasons, and nothing changes.
//!
//! The steps, in their order: size, kind of file, compiling within a time limit, every import, every export, an
//! instance, the cases that came with it, the smoke calls. (Types are known only once a component is compiled, so
//! compiling comes before the imports; it runs nothing of the guest's.)

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::Component;

use super::cases::Cases;
use super::component::{compile, link};
use super::dynamic_call::DynamicCaller;
use super::error::{AdmissionError, Stage};
use super::inspect::{Inspector, Misfit};
use super::smoke;
use super::source::Source;
use crate::run::exports::Exports;
use crate::run::fault::{Cause, Fault};
use crate::run::kind::{HandlerKind, SettingsMap, VersionId};
use crate::run::limits::AdmissionLimits;
use crate::run::sandbox::Sandbox;
use crate::run::version::Version;
use crate::run::versions::{EventsVersion, MessagesVersion, RoomsVersion};

/// The failed cases that are reported when many fail.
const CASES_REPORTED_MAX: usize = 10;

/// Checks handlers before they can be active.
pub struct Admission {
    sandbox: Arc<Sandbox>,
    limits: AdmissionLimits,
    /// In the order of [`Stage::ALL`].
    rejected: [AtomicU64; Stage::ALL.len()],
}

/// A version of whichever handler.
pub(crate) enum AdmittedVersion {
    Rooms(Arc<RoomsVersion>),
    Messages(Arc<MessagesVersion>),
    Events(Arc<EventsVersion>),
}

impl Admission {
    /// Checks under these limits, for versions that run in this sandbox.
    #[must_use]
    pub fn new(sandbox: Arc<Sandbox>, limits: AdmissionLimits) -> Self {
        Self { sandbox, limits, rejected: Default::default() }
    }

    /// Where versions are compiled and run.
    #[must_use]
    pub fn sandbox(&self) -> &Arc<Sandbox> {
        &self.sandbox
    }

    /// Counts a new version that a step has rejected.
    pub(crate) fn count_rejected(&self, stage: Stage) {
        if let Some((_, number)) = Stage::ALL.iter().zip(&self.rejected).find(|(known, _)| **known == stage) {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many each step has rejected, in the order of [`Stage::ALL`].
    pub(crate) fn rejected(&self) -> impl Iterator<Item = u64> {
        self.rejected.iter().map(|number| number.load(Ordering::Relaxed))
    }

    /// Runs the checks as a server does, and returns the id of the version.
    ///
    /// # Errors
    ///
    /// Every reason of the first check that found one.
    pub fn check(
        &self,
        handler: HandlerKind,
        wasm: Vec<u8>,
        settings: &SettingsMap,
        cases: Option<String>,
    ) -> Result<VersionId, AdmissionError> {
        let source = Source { handler, wasm, settings: Arc::new(settings.clone()), cases };
        self.admit(&source)?;
        Ok(source.version())
    }

    /// Runs the checks. Compiles, so not for a worker.
    ///
    /// # Errors
    ///
    /// Every reason of the first check that found one.
    pub(crate) fn admit(&self, source: &Source) -> Result<AdmittedVersion, AdmissionError> {
        let component = self.fit(source)?;
        let admitted = match source.handler {
            HandlerKind::Rooms => AdmittedVersion::Rooms(Arc::new(RoomsVersion(self.version(&component, source)?))),
            HandlerKind::Messages => {
                AdmittedVersion::Messages(Arc::new(MessagesVersion(self.version(&component, source)?)))
            }
            HandlerKind::Events => AdmittedVersion::Events(Arc::new(EventsVersion(self.version(&component, source)?))),
        };
        let smoke = admitted.smoke();
        // The first call makes the first instance; whether there can be one comes before the cases.
        if let Err(Fault { cause: cause @ Cause::Instantiate(_), .. }) = &smoke {
            return Err(AdmissionError::because(Stage::Instantiate, cause.to_string()));
        }
        if let Some(cases) = &source.cases {
            self.run_cases(component, cases)?;
        }
        smoke.map_err(|fault| {
            let printed = fault.printed.as_deref().map(|text| format!(" (it printed: {text})")).unwrap_or_default();
            let places = match fault.cause.backtrace() {
                [] => String::new(),
                functions => format!(" (in {})", functions.join(" < ")),
            };
            let reason = format!("the smoke call of {} failed: {}{places}{printed}", fault.function, fault.cause);
            AdmissionError::because(Stage::Smoke, reason)
        })?;
        Ok(admitted)
    }

    /// Size, kind, compiling, and the world.
    fn fit(&self, source: &Source) -> Result<Component, AdmissionError> {
        let (bytes, bytes_max) = (source.wasm.len(), self.limits.handler_file_bytes_max);
        if bytes > bytes_max {
            let reason = format!("the file has {bytes} bytes, more than handler_file_bytes_max = {bytes_max}");
            return Err(AdmissionError::because(Stage::Size, reason));
        }
        let component = compile(&self.sandbox, &source.wasm)?;
        let inspector = Inspector::new(&component, self.sandbox.engine())?;
        let misfits =
            [(Stage::Imports, inspector.unmet_imports()), (Stage::Exports, inspector.unmet_exports(source.handler))];
        for (stage, misfits) in misfits {
            if !misfits.is_empty() {
                return Err(AdmissionError { stage, reasons: misfits.iter().map(Misfit::to_string).collect() });
            }
        }
        Ok(component)
    }

    fn version<E: Exports>(&self, component: &Component, source: &Source) -> Result<Version<E>, AdmissionError> {
        let linked = link(&self.sandbox, component)?;
        let version = Version::new(&source.wasm, linked, &source.settings, &self.sandbox);
        version.map_err(|error| AdmissionError::because(Stage::Exports, format!("{error:#}")))
    }

    /// Runs the cases that came with a version, each under its own settings, as `ondol test` does.
    fn run_cases(&self, component: Component, cases: &str) -> Result<(), AdmissionError> {
        let (bytes, bytes_max) = (cases.len(), self.limits.handler_cases_bytes_max);
        if bytes > bytes_max {
            let reason = format!("the cases have {bytes} bytes, more than handler_cases_bytes_max = {bytes_max}");
            return Err(AdmissionError::because(Stage::Cases, reason));
        }
        let unreadable = |error| AdmissionError::because(Stage::Cases, format!("the cases: {error}"));
        let cases = Cases::read(cases).map_err(unreadable)?;
        let caller = DynamicCaller::of_component(&self.sandbox, component)?;
        let mut reasons = Vec::new();
        let mut failed = 0_usize;
        for report in cases.run(&caller, "").filter(|report| !report.passed()) {
            failed += 1;
            if failed <= CASES_REPORTED_MAX {
                let lines: Vec<&str> = report.differences.iter().map(|line| line.trim()).collect();
                reasons.push(format!("the case {:?}: {}", report.name, lines.join("; ")));
            }
        }
        if failed == 0 {
            return Ok(());
        }
        if failed > CASES_REPORTED_MAX {
            reasons.push(format!("and {} more cases", failed - CASES_REPORTED_MAX));
        }
        Err(AdmissionError { stage: Stage::Cases, reasons })
    }
}

impl AdmittedVersion {
    /// The settings that it has asked for so far. Later ones are not remembered.
    pub(crate) fn take_asked(&self) -> BTreeSet<String> {
        match self {
            Self::Rooms(rooms) => rooms.0.asked.take(),
            Self::Messages(messages) => messages.0.asked.take(),
            Self::Events(events) => events.0.asked.take(),
        }
    }

    /// Makes the smoke calls.
    fn smoke(&self) -> Result<(), Fault> {
        // Time runs on while a busy machine leaves the call waiting: one that was late has a second chance.
        self.smoke_once().or_else(|fault| if fault.cause.was_slow() { self.smoke_once() } else { Err(fault) })
    }

    fn smoke_once(&self) -> Result<(), Fault> {
        match self {
            Self::Rooms(rooms) => smoke::rooms(rooms),
            Self::Messages(messages) => smoke::messages(messages),
            Self::Events(events) => smoke::events(events),
        }
    }
}
