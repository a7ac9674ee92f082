//! Why a handler is not admitted: the check that it failed, and every reason that the check found.

use std::fmt;

use serde::Serialize;

use super::file::FileError;

/// Why a handler was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", .reasons.join("; "))]
pub struct AdmissionError {
    /// The check that it failed.
    pub stage: Stage,
    /// A reason each.
    pub reasons: Vec<String>,
}

/// An admission check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The file can be read.
    File,
    /// It is not too large.
    Size,
    /// It is a component.
    Kind,
    /// It compiles, and in time.
    Compile,
    /// It imports only what a handler is given.
    Imports,
    /// It exports what its world has.
    Exports,
    /// An instance of it can be made under the limits.
    Instantiate,
    /// It passes the cases that came with it.
    Cases,
    /// It answers the smoke calls.
    Smoke,
}

impl Stage {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 9] = [
        Self::File,
        Self::Size,
        Self::Kind,
        Self::Compile,
        Self::Imports,
        Self::Exports,
        Self::Instantiate,
        Self::Cases,
        Self::Smoke,
    ];
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

impl AdmissionError {
    /// A single reason.
    pub(crate) fn because(stage: Stage, reason: impl Into<String>) -> Self {
        Self { stage, reasons: vec![reason.into()] }
    }

    /// The file could not be read.
    #[must_use]
    pub fn unreadable(error: &FileError) -> Self {
        let stage = match error {
            FileError::TooLarge { .. } => Stage::Size,
            FileError::Cases(..) => Stage::Cases,
            _ => Stage::File,
        };
        Self::because(stage, error.to_string())
    }
}
