//! The templates: texts with names to fill in. Knows nothing of what they are about.

use std::path::PathBuf;

use anyhow::Context as _;
use include_dir::{Dir, include_dir};

use super::world::World;

static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../templates");

/// A file to write.
#[derive(Debug)]
pub(super) struct File {
    /// Its path in the directory of the handler.
    pub(super) path: PathBuf,
    /// Its content.
    pub(super) text: String,
}

/// What is filled in.
pub(super) struct Names<'a> {
    pub(super) name: &'a str,
    pub(super) world: World,
}

/// The files of these directories of the templates, with the names filled in.
///
/// # Errors
///
/// When there is no such directory.
pub(super) fn files(directories: &[&str], names: &Names<'_>) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for name in directories {
        let directory = TEMPLATES.get_dir(name).with_context(|| format!("no template {name}"))?;
        files.extend(filled(directory, names));
    }
    Ok(files)
}

/// Whether there are templates in this directory.
pub(super) fn exists(directory: &str) -> bool {
    TEMPLATES.get_dir(directory).is_some()
}

/// The files of a directory, with the names filled in.
fn filled(directory: &Dir<'_>, names: &Names<'_>) -> Vec<File> {
    let fill = |text: &str| names.fill(text);
    texts(directory).map(|File { path, text }| File { path: visible(path), text: fill(&text) }).collect()
}

/// The text files of a directory and those below it, by their paths in it.
pub(super) fn texts<'a>(directory: &'a Dir<'a>) -> impl Iterator<Item = File> + 'a {
    let mut files = Vec::new();
    let mut directories = vec![directory];
    while let Some(next) = directories.pop() {
        files.extend(next.files());
        directories.extend(next.dirs());
    }
    files.into_iter().filter_map(|file| {
        let path = file.path().strip_prefix(directory.path()).ok()?.to_owned();
        Some(File { path, text: file.contents_utf8()?.to_owned() })
    })
}

/// The template of `.gitignore` must not hide files of the repository itself.
fn visible(path: PathBuf) -> PathBuf {
    if path.as_os_str() == "gitignore" { PathBuf::from(".gitignore") } else { path }
}

impl Names<'_> {
    fn fill(&self, text: &str) -> String {
        let Self { name, world } = *self;
        let package = name.replace('-', "_");
        let dependency = |name: &str| format!("ondol-{name} = {{ path = \"ondol/handlers/{name}\" }}");
        let dependencies = match world {
            World::Rooms | World::Middleware => dependency("handler"),
            // It builds on the default handler.
            World::Messages => [dependency("handler"), dependency("messages")].join("\n"),
            World::Events => [dependency("events"), dependency("handler")].join("\n"),
        };
        let is_middleware = world == World::Middleware;
        let about_behind = format!(
            "It runs in front of `messages.wasm`: the default handler, which `behind.sh` builds, until you put another one \
             there. A setting\nof the middleware has its name as a prefix: `{name}.KEY`.\n\n"
        );
        let only_middleware = |text| if is_middleware { text } else { "" };
        [
            ("name", name),
            ("crate", &package),
            ("source", world.name()),
            ("handler", world.handler().name()),
            ("world", world.contract()),
            ("world_c", &world.contract().replace('-', "_")),
            ("described", &world.described()),
            ("dependencies", &dependencies),
            // Of a middleware: the handler behind it.
            ("behind", only_middleware("+messages.wasm")),
            ("build_behind", only_middleware("test -e messages.wasm || sh behind.sh\n")),
            ("behind_needs", only_middleware(" and,\nwith the target `wasm32-wasip2`, for the handler behind it")),
            ("about_behind", only_middleware(&about_behind)),
            ("version", env!("CARGO_PKG_VERSION")),
        ]
        .into_iter()
        .fold(text.to_owned(), |text, (key, value)| text.replace(&format!("{{{{{key}}}}}"), value))
    }
}
