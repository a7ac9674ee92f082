//! What the directory of handlers holds for one of them: its component, and the cases that lie beside it. Knows nothing of
//! whether it works.

use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::file::{FileError, read};
use crate::run::kind::HandlerKind;
use crate::run::limits::AdmissionLimits;

/// A component with its cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerFile {
    /// The component.
    pub wasm: Vec<u8>,
    /// The cases that it has to pass, as TOML: `events.cases.toml` beside `events.wasm`.
    pub cases: Option<String>,
}

/// The content of a file, or why there is none.
pub type FileContent = Result<HandlerFile, FileError>;

/// Reads the file of a handler in `directory`, and its cases if there are any.
///
/// # Errors
///
/// When one of them is larger than its limit, no regular file, or cannot be read.
pub fn read_handler(directory: &Path, handler: HandlerKind, limits: &AdmissionLimits) -> FileContent {
    let file = directory.join(handler.file_name());
    let wasm = read(&file, "handler_file_bytes_max", limits.handler_file_bytes_max)?;
    let cases = directory.join(handler.cases_file_name());
    let cases = match read(&cases, "handler_cases_bytes_max", limits.handler_cases_bytes_max) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| FileError::NotText),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    };
    let cases = cases.map_err(|error| FileError::Cases(handler.cases_file_name(), Box::new(error)))?;
    Ok(HandlerFile { wasm, cases })
}

impl HandlerFile {
    /// A hash of both.
    pub(super) fn content(&self) -> [u8; 32] {
        let wasm = Sha256::digest(&self.wasm);
        match &self.cases {
            None => wasm.into(),
            Some(cases) => Sha256::new().chain_update(wasm).chain_update(cases).finalize().into(),
        }
    }

    /// The same as 64 hexadecimal digits. Without cases it is the SHA-256 of the component.
    #[must_use]
    pub fn sha256(&self) -> String {
        HEXLOWER.encode(&self.content())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    const LIMITS: AdmissionLimits = AdmissionLimits { handler_file_bytes_max: 10, handler_cases_bytes_max: 10 };

    #[test]
    fn cases_are_part_of_the_content() {
        let directory = tempfile::tempdir().unwrap();
        let read = || read_handler(directory.path(), HandlerKind::Events, &LIMITS);
        let cases = |bytes: &[u8]| std::fs::write(directory.path().join("events.cases.toml"), bytes).unwrap();
        cases(b"one");
        assert!(read().unwrap_err().is_absent(), "cases alone are none");
        std::fs::write(directory.path().join("events.wasm"), "wasm").unwrap();
        let one = read().unwrap();
        assert_eq!(one.cases.as_deref(), Some("one"));
        cases(b"two");
        assert_ne!(read().unwrap().sha256(), one.sha256());
        std::fs::remove_file(directory.path().join("events.cases.toml")).unwrap();
        assert_eq!(read().unwrap().sha256(), HEXLOWER.encode(&Sha256::digest("wasm")));
    }

    #[test]
    fn cases_that_cannot_be_read_are_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("events.wasm"), "wasm").unwrap();
        for (bytes, why) in
            [(&b"\xff"[..], "it is not UTF-8"), (&[b'#'; 11], "it is larger than handler_cases_bytes_max = 10")]
        {
            std::fs::write(directory.path().join("events.cases.toml"), bytes).unwrap();
            let error = read_handler(directory.path(), HandlerKind::Events, &LIMITS).unwrap_err();
            assert_eq!(error.to_string(), format!("events.cases.toml beside it: {why}"));
            assert!(!error.is_absent());
        }
    }
}
