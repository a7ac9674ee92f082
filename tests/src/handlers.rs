//! The built components, and how to put one into a watched directory as an operator would. Knows nothing of their
//! content.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// The names of the three handlers.
pub const HANDLERS: [&str; 3] = ["rooms", "messages", "events"];

/// The target directory of the workspace.
#[must_use]
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A shipped handler: `rooms`, `messages` or `events`.
#[must_use]
pub fn standard(handler: &str) -> PathBuf {
    target().join("handlers").join(format!("{handler}.wasm"))
}

/// One of the components of `tests/guests`.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    target().join("wasm32-wasip2/handler").join(format!("guest_{name}.wasm"))
}

/// One of the components that `make examples` builds of the directory `examples`. None if it was not built: then `story` is
/// named as skipped, except under CI, where that is an error.
///
/// # Errors
/// When it is missing where it must not be.
pub fn example(story: &str, name: &str) -> Result<Option<PathBuf>> {
    let file = target().join("examples").join(format!("{name}.wasm"));
    Ok(is_there(story, &file)?.then_some(file))
}

/// Whether there is a file that `make examples` makes. If not, `story` is named as skipped, except under CI, where that is
/// an error.
///
/// # Errors
/// When it is missing where it must not be.
pub fn is_there(story: &str, file: &Path) -> Result<bool> {
    if file.exists() {
        return Ok(true);
    }
    let missing = format!("{} is missing: `make examples` makes it", file.display());
    ensure!(env::var_os("CI").is_none(), "{story}: {missing}, and CI is set");
    eprintln!("skipped: {story}: {missing}");
    Ok(false)
}

/// The bytes of a built component.
///
/// # Errors
/// When it was not built.
pub fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file)
        .with_context(|| format!("{} is not built: `make test` builds all that the stories need", file.display()))
}

/// Puts `bytes` in place of `directory/handler.wasm` with a rename, so that no reader sees half of it.
///
/// # Errors
/// When the file system refuses.
pub fn place(directory: &Path, handler: &str, bytes: &[u8]) -> Result<()> {
    let beside = directory.join(format!(".{handler}.wasm.new"));
    fs::write(&beside, bytes)?;
    fs::rename(&beside, directory.join(format!("{handler}.wasm")))?;
    Ok(())
}
