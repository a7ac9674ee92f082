//! Handlers in other languages: the code is that of `examples/`, the default handler once more, and the contract comes along in
//! `wit/`.

use std::path::Path;

use include_dir::{Dir, include_dir};

use super::crates::contract;
use super::template::{self, File, Names, texts};
use crate::cli::shared::Misuse;
use ondol_host_handlers::HandlerKind;

static JAVASCRIPT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/javascript");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/python");

/// The name of the package of the example, which becomes that of the handler.
const PACKAGE: &str = "ondol-messages-javascript";

/// The files of a handler in a language.
///
/// # Errors
///
/// When there is no example of it.
pub(super) fn files(language: &str, names: &Names<'_>) -> anyhow::Result<Vec<File>> {
    if names.handler != HandlerKind::Messages {
        let why = format!("there is no template of {} in {language}: there is one of messages", names.handler);
        return Err(Misuse(why).into());
    }
    let example = if language == "js" { &JAVASCRIPT } else { &PYTHON };
    // Not what a build of the example has left.
    let is_source = |file: &File| !file.path.to_string_lossy().contains("__pycache__");
    let named = |File { path, text }| File { path, text: text.replace(PACKAGE, names.name) };
    let mut files = template::files(&[&format!("{language}/common"), "portable/messages"], names)?;
    files.extend(texts(example).filter(is_source).map(named));
    files.extend(contract(Path::new("wit")));
    Ok(files)
}
