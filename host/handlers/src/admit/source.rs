//! What a version is made of. Knows nothing of whether it works.

use std::sync::Arc;

use crate::run::kind::{HandlerKind, SettingsMap, VersionId};

/// What a version is made of.
#[derive(Clone, Debug)]
pub struct Source {
    /// Whose version it is.
    pub handler: HandlerKind,
    /// The component.
    pub wasm: Vec<u8>,
    /// What the operator has set for it.
    pub settings: Arc<SettingsMap>,
    /// The cases that it has to pass, as TOML.
    pub cases: Option<String>,
}

impl Source {
    /// The id of the version.
    #[must_use]
    pub fn version(&self) -> VersionId {
        VersionId::of(&self.wasm, &self.settings)
    }
}
