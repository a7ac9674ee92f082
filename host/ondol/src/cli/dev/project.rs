//! `handler.toml`: how a project is built, and what comes of it. Knows nothing of servers.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::cli::shared::{Misuse, compose_files, read, read_cases};
use ondol_host_handlers::{HandlerKind, SettingsMap};

/// The name of the manifest.
pub(super) const MANIFEST: &str = "handler.toml";

/// The manifest. Its paths are relative to its directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Project {
    /// Which handler it is.
    handler: String,
    /// The command that builds it.
    pub(super) build: String,
    /// The component that the command writes, or several as `FRONT+BACK`.
    output: String,
    /// The cases that it has to pass.
    pub(super) cases: Option<PathBuf>,
    /// The files and directories to watch.
    pub(super) watch: Vec<PathBuf>,
    /// Its settings.
    #[serde(default)]
    settings: SettingsMap,
}

/// A version that was built.
#[derive(Debug)]
pub(super) struct Build {
    pub(super) handler: HandlerKind,
    pub(super) wasm: Vec<u8>,
    pub(super) cases: Option<String>,
    pub(super) settings: SettingsMap,
}

impl Project {
    /// Reads the manifest of a project.
    ///
    /// # Errors
    ///
    /// When there is none, or it is not what it should be.
    pub(super) fn read(directory: &Path) -> anyhow::Result<Self> {
        let file = directory.join(MANIFEST);
        let named = |why: &dyn std::fmt::Display| Misuse(format!("{}: {why}", file.display()));
        let text = std::fs::read_to_string(&file).map_err(|error| named(&error))?;
        let project: Self = toml::from_str(&text).map_err(|error| named(&error))?;
        project.handler.parse::<HandlerKind>().map_err(|error| named(&error))?;
        Ok(project)
    }

    /// Reads what the build command has left.
    ///
    /// # Errors
    ///
    /// When a file is missing.
    pub(super) fn result(self, directory: &Path) -> anyhow::Result<Build> {
        let handler = self.handler()?;
        let layers: Vec<_> = self.output.split('+').map(|layer| directory.join(layer)).collect();
        let wasm = match &*layers {
            [file] => read(file, None),
            layers => compose_files(layers, None),
        };
        let wasm = wasm.context("the output of the build")?;
        let cases =
            self.cases.map(|cases| read_cases(&directory.join(cases), None)).transpose().context("the cases")?;
        Ok(Build { handler, wasm, cases, settings: self.settings })
    }

    /// Which handler it is.
    pub(super) fn handler(&self) -> anyhow::Result<HandlerKind> {
        Ok(self.handler.parse().map_err(Misuse)?)
    }
}
