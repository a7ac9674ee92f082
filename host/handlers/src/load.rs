//! The gate: from a file's bytes to a version that can answer, step by step. Whatever is wrong is told with the step that
//! found it, as sentences, and changes nothing.
//!
//! The steps, in their order: size, kind of file, compiling within a time limit, every import, every export, an instance,
//! the cases that came with it, the built-in calls. (Types are known only once a component is compiled, so that comes
//! before the imports; it runs nothing of the guest's.)

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use wasmtime::component::Component;

use super::cases::Cases;
use super::exports::{EventExports, Exports, MessageExports, RoomExports};
use super::fault::{Cause, Fault};
use super::file::FileError;
use super::inspect::{self, FileKind, Misfit};
use super::kind::{HandlerKind, VersionId};
use super::sandbox::Sandbox;
use super::version::Version;
use super::{SettingsMap, smoke};

/// How many cases are told of when many fail.
const CASES_TOLD_MAX: usize = 10;

/// Why a file was not taken: the step that found it wrong, and every reason that the step found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", .reasons.join("; "))]
pub struct LoadError {
    /// The step.
    pub stage: Stage,
    /// A reason each.
    pub reasons: Vec<String>,
}

/// A step of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The file cannot be read.
    File,
    /// It is larger than it may be.
    Size,
    /// It is no component.
    Kind,
    /// It does not compile, or not in time.
    Compile,
    /// It imports what no handler is given.
    Imports,
    /// It does not export what its world has.
    Exports,
    /// No instance of it can be made under the limits.
    Instantiate,
    /// A case that came with it came to something else.
    Cases,
    /// A built-in call failed.
    Smoke,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Size => "size",
            Self::Kind => "kind",
            Self::Compile => "compile",
            Self::Imports => "imports",
            Self::Exports => "exports",
            Self::Instantiate => "instantiate",
            Self::Cases => "cases",
            Self::Smoke => "smoke",
        })
    }
}

impl LoadError {
    /// A single reason.
    pub(super) fn because(stage: Stage, reason: impl Into<String>) -> Self {
        Self { stage, reasons: vec![reason.into()] }
    }

    /// The file could not be read.
    #[must_use]
    pub fn unread(error: &FileError) -> Self {
        let stage = if matches!(error, FileError::TooLarge { .. }) { Stage::Size } else { Stage::File };
        Self::because(stage, error.to_string())
    }
}

/// A version of whichever handler.
pub(super) enum Loaded {
    Rooms(Arc<Version<RoomExports>>),
    Messages(Arc<Version<MessageExports>>),
    Events(Arc<Version<EventExports>>),
}

/// Brings `bytes` through the gate as a version of `handler`. Takes as long as compiling does: not for a worker.
///
/// # Errors
///
/// Every reason of the first step that found one.
pub(super) fn load(
    sandbox: &Arc<Sandbox>,
    handler: HandlerKind,
    bytes: &[u8],
    settings: &Arc<SettingsMap>,
    cases: Option<&str>,
) -> Result<Loaded, LoadError> {
    let component = fit(sandbox, handler, bytes)?;
    let loaded = match handler {
        HandlerKind::Rooms => Loaded::Rooms(version(sandbox, &component, bytes, settings)?),
        HandlerKind::Messages => Loaded::Messages(version(sandbox, &component, bytes, settings)?),
        HandlerKind::Events => Loaded::Events(version(sandbox, &component, bytes, settings)?),
    };
    let try_calls = || match &loaded {
        Loaded::Rooms(rooms) => smoke::rooms(rooms),
        Loaded::Messages(messages) => smoke::messages(messages),
        Loaded::Events(events) => smoke::events(events),
    };
    // Time runs on while a busy machine leaves the call waiting: one that was late has a second chance.
    let smoke = try_calls().or_else(|fault| if fault.cause.was_slow() { try_calls() } else { Err(fault) });
    // The first call makes the first instance; whether that can be had is a question before all cases.
    if let Err(Fault { cause: cause @ Cause::Instantiate(_), .. }) = &smoke {
        return Err(LoadError::because(Stage::Instantiate, cause.to_string()));
    }
    if let Some(cases) = cases {
        run_cases(sandbox, component, cases)?;
    }
    smoke.map_err(|fault| {
        let printed = fault.printed.as_deref().map(|text| format!(" (it printed: {text})")).unwrap_or_default();
        let reason = format!("the trial call of {} failed: {}{printed}", fault.function, fault.cause);
        LoadError::because(Stage::Smoke, reason)
    })?;
    Ok(loaded)
}

/// Size, kind, compiled, and held against the world.
fn fit(sandbox: &Arc<Sandbox>, handler: HandlerKind, bytes: &[u8]) -> Result<Component, LoadError> {
    let bytes_max = sandbox.all_limits().admission.handler_file_bytes_max;
    if bytes.len() > bytes_max {
        let reason = format!("the file has {} bytes, more than handler_file_bytes_max = {bytes_max}", bytes.len());
        return Err(LoadError::because(Stage::Size, reason));
    }
    match inspect::kind(bytes) {
        FileKind::Component => {}
        other => return Err(LoadError::because(Stage::Kind, other.to_string())),
    }
    let component = sandbox
        .compile(bytes)
        .map_err(|error| LoadError::because(Stage::Compile, format!("it does not compile: {error:#}")))?;
    for (stage, misfits) in [
        (Stage::Imports, inspect::unmet_imports(&component, sandbox.engine())),
        (Stage::Exports, inspect::unmet_exports(&component, sandbox.engine(), handler)),
    ] {
        if !misfits.is_empty() {
            return Err(LoadError { stage, reasons: misfits.iter().map(Misfit::to_string).collect() });
        }
    }
    Ok(component)
}

fn version<E: Exports>(
    sandbox: &Arc<Sandbox>,
    component: &Component,
    bytes: &[u8],
    settings: &Arc<SettingsMap>,
) -> Result<Arc<Version<E>>, LoadError> {
    let linked = sandbox.link(component);
    let linked = linked.map_err(|error| LoadError::because(Stage::Imports, format!("it does not link: {error:#}")))?;
    let id = VersionId::of(bytes, settings);
    let code = sandbox.in_use(bytes);
    Ok(Arc::new(Version::new(id, linked, Arc::clone(settings), Arc::clone(sandbox), code)))
}

/// Runs the cases that came with a version, each under its own settings, as `ondol test` does.
fn run_cases(sandbox: &Arc<Sandbox>, component: Component, cases: &str) -> Result<(), LoadError> {
    let bytes_max = sandbox.all_limits().admission.handler_cases_bytes_max;
    if cases.len() > bytes_max {
        let reason = format!("the cases have {} bytes, more than handler_cases_bytes_max = {bytes_max}", cases.len());
        return Err(LoadError::because(Stage::Cases, reason));
    }
    let cases = Cases::read(cases).map_err(|error| LoadError::because(Stage::Cases, format!("the cases: {error}")))?;
    let trial = sandbox.trial_of(component)?;
    let mut reasons = Vec::new();
    let mut failed = 0_usize;
    for report in cases.run(&trial, "").filter(|report| !report.passed()) {
        failed += 1;
        if failed <= CASES_TOLD_MAX {
            reasons.push(format!("the case {:?}: {}", report.name, report.differences.join("; ")));
        }
    }
    if failed == 0 {
        return Ok(());
    }
    if failed > CASES_TOLD_MAX {
        reasons.push(format!("and {} more cases", failed - CASES_TOLD_MAX));
    }
    Err(LoadError { stage: Stage::Cases, reasons })
}
