//! From bytes to a component that is compiled and linked. Knows no handler and no world.

use wasmtime::component::{Component, InstancePre};

use super::error::{AdmissionError, Stage};
use super::file_kind::{FileKind, kind};
use crate::run::sandbox::Sandbox;
use crate::run::state::State;

/// The component that `bytes` are, compiled.
pub(crate) fn compile(sandbox: &Sandbox, bytes: &[u8]) -> Result<Component, AdmissionError> {
    match kind(bytes) {
        FileKind::Component => {}
        other => return Err(AdmissionError::because(Stage::Kind, other.to_string())),
    }
    let compiled = sandbox.compile(bytes);
    compiled.map_err(|error| AdmissionError::because(Stage::Compile, format!("it does not compile: {error:#}")))
}

/// Ties a component's imports to the host.
pub(crate) fn link(sandbox: &Sandbox, component: &Component) -> Result<InstancePre<State>, AdmissionError> {
    let linked = sandbox.link(component);
    linked.map_err(|error| AdmissionError::because(Stage::Imports, format!("it does not link: {error:#}")))
}
