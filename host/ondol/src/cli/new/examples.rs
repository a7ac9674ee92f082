//! Handlers in other languages. The directory `examples/` has one world of each language, with the tools of all: in
//! JavaScript and Python the default `messages` handler once more, in C a filter in front of it. The others are templates.
//! The contract comes along in `wit/`.

use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::crates::{self, contract};
use super::template::{self, File, Names, texts};
use super::world::World;
use crate::cli::shared::Misuse;

static JAVASCRIPT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/javascript");
static PYTHON: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/python");
static C: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../examples/c");

/// The files of an example that name the tools of its language.
const TOOLS: [&str; 3] = ["package.json", "package-lock.json", "requirements.txt"];

/// The files of a handler in a language.
///
/// # Errors
///
/// When there is no example and no template of it.
pub(super) fn files(language: &str, names: &Names<'_>) -> anyhow::Result<Vec<File>> {
    let (example, of) = match language {
        "js" => (&JAVASCRIPT, World::Messages),
        "python" => (&PYTHON, World::Messages),
        _ => (&C, World::Middleware),
    };
    let code = |world: World| format!("{language}/{}", world.name());
    let is_there = |world: &World| *world == of || template::exists(&code(*world));
    if !is_there(&names.world) {
        let there: Vec<_> = World::ALL.into_iter().filter(is_there).map(World::name).collect();
        let why =
            format!("there is no template of {} in {language}: there are {}", names.world.name(), there.join(", "));
        return Err(Misuse(why).into());
    }
    let of_world = [code(names.world), format!("portable/{}", names.world.name())];
    let of_world = of_world.iter().map(String::as_str).filter(|directory| template::exists(directory));
    let mut files =
        template::files(&[&*format!("{language}/common")].into_iter().chain(of_world).collect::<Vec<_>>(), names)?;
    // Of an example of another world only the tools, and of none what a build has left.
    let is_wanted = |file: &File| {
        TOOLS.iter().any(|tool| file.path.ends_with(tool))
            || names.world == of && !file.path.to_string_lossy().contains("__pycache__")
    };
    files.extend(texts(example).filter(is_wanted).map(|file| renamed(file, names)));
    files.extend(contract(Path::new("wit")));
    if names.world == World::Middleware {
        files.extend(crates::files(names.world)?);
        files.extend(super::behind(names)?);
    }
    Ok(files)
}

/// A file of an example under the names of the new handler.
fn renamed(File { path, text }: File, Names { name, .. }: &Names<'_>) -> File {
    let composed = "target/examples/filter.wasm+target/handlers/messages.wasm --cases examples/c/cases.toml";
    let text = text
        .replace("ondol-messages-javascript", name)
        .replace(composed, &format!("{name}.wasm+messages.wasm --cases cases.toml"))
        .replace("filter.words", &format!("{name}.words"));
    let path = if path == Path::new("filter.c") { PathBuf::from("middleware.c") } else { path };
    File { path, text }
}
