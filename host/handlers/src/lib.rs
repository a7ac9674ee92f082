//! The handlers: WebAssembly components that decide how rooms are named, which frames are accepted and what clients
//! receive. The only crate that knows wasmtime; knows nothing of sockets, members or storage.
//!
//! - [`Handlers`] which release is active, and how that changes; [`Release`] three versions that answer together
//! - `rollout/` how a release is recorded and tried: probation, canary, shadow, replay
//! - `admit/` from files and uploads to versions that can be active: [`watch`], [`Admission`], [`Candidate`],
//!   [`inspect`]
//! - `compose/` one component of several layers
//! - `run/` the [`Sandbox`]: engine, instances, limits, [`Fault`]s, the built-in handlers
//!
//! Each knows those below it and none above.

mod active;
mod admit;
mod compose;
mod handlers;
mod release;
mod rollout;
mod run;

pub use admit::admission::Admission;
pub use admit::candidate::Candidate;
pub use admit::cases::{CaseReport, Cases, Recorded, RecordedCall, RecordedOutcome, updated as updated_cases};
pub use admit::compiler_process::{CompileError, CompilerProcess, compile_as_child};
pub use admit::dynamic_call::{Called, DynamicCaller, Outcome, Session};
pub use admit::error::{AdmissionError, Stage};
pub use admit::file::{FileError, read as read_file};
pub use admit::file_kind::FileKind;
pub use admit::handler_file::{FileContent, HandlerFile, read_handler};
pub use admit::inspect::{Item, Report, fits, inspect};
pub use admit::json_difference::Difference;
pub use admit::source::Source;
pub use admit::watch::{LastOffered, Watch, watch};
pub use compose::{ComposeError, Layer, compose};
pub use handlers::{Activated, CanaryStarted, Handlers, Recording, ReleaseFigures};
pub use release::Release;
pub use rollout::canary::CanaryTerms;
pub use rollout::event::{EventKind, ReleaseEvent};
pub use rollout::ledger::{ActivateError, Activation, Ledger, NumberedRelease, Provenance, Trigger, Unrecorded};
pub use rollout::replay::{Compared, Replay, Replied, Side};
pub use rollout::rows::{CanaryRow, ProbationRow, Rollouts};
pub use rollout::shadow::ShadowRow;
pub use rollout::slowness::{SlownessOverride, SlownessTerms};
pub use run::call_figures::VersionFigures;
pub use run::fault::{Cause, Fault, Overrun};
pub use run::fault_history::{FaultRow, FaultsRow};
pub use run::handler_log::{HandlerLog, LogLine};
pub use run::kind::{HandlerKind, SettingsMap, VersionId};
pub use run::latency_histogram::LatencySnapshot;
pub use run::limits::{
    AdmissionLimits, CallLimits, CompilerLimits, Failure, HandlersLimits, OnFault, RolloutLimits, SandboxLimits,
};
pub use run::sandbox::Sandbox;
pub use run::setting::setting_text;
pub use run::version_set::VersionSet;
