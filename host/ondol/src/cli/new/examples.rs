//! Handlers in other languages. In JavaScript and Python the code is that of `examples/`, the default `messages` handler once
//! more; in C it is a `rooms` handler with the tools of the example. The contract comes along in `wit/`.

use std::path::Path;

use include_dir::{Dir, include_dir};

use super::crates::contract;
use super::template::{self, File, Names, texts};
use crate::cli::shared::Misuse;
use ondol_host_handlers::HandlerKind;

static JAVASCRIPT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/javascript");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/python");
static C: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/c");

/// The name of the package of the example, which becomes that of the handler.
const PACKAGE: &str = "ondol-messages-javascript";

/// The files of a handler in a language.
///
/// # Errors
///
/// When there is no example of it.
pub(super) fn files(language: &str, names: &Names<'_>) -> anyhow::Result<Vec<File>> {
    let (example, handler, shared) = match language {
        "js" => (&JAVASCRIPT, HandlerKind::Messages, "portable/messages"),
        "python" => (&PYTHON, HandlerKind::Messages, "portable/messages"),
        _ => (&C, HandlerKind::Rooms, "c/rooms"),
    };
    if names.handler != handler {
        let why = format!("there is no template of {} in {language}: there is one of {handler}", names.handler);
        return Err(Misuse(why).into());
    }
    // Of the one in C only the tools, and of none what a build has left.
    let is_wanted = |file: &File| match handler {
        HandlerKind::Rooms => file.path.ends_with("requirements.txt"),
        _ => !file.path.to_string_lossy().contains("__pycache__"),
    };
    let named = |File { path, text }| File { path, text: text.replace(PACKAGE, names.name) };
    let mut files = template::files(&[&format!("{language}/common"), shared], names)?;
    files.extend(texts(example).filter(is_wanted).map(named));
    files.extend(contract(Path::new("wit")));
    Ok(files)
}
