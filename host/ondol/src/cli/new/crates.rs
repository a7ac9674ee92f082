//! Ondol's own crates, for handlers in Rust: `ondol/` is a small copy of the repository, with the contract, the crates that a
//! handler depends on, and the versions of their dependencies that Ondol is tested with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use include_dir::{Dir, include_dir};
use toml::{Table, Value};

use super::template::{File, texts};
use super::world::World;

static CONTRACT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");
static CRATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../handlers");
const WORKSPACE: &str = include_str!("../../../../../Cargo.toml");
const LOCK: &str = include_str!("../../../../../Cargo.lock");

/// The files of `ondol/`.
///
/// # Errors
///
/// When a manifest of the repository is not what it should be.
pub(super) fn files(world: World) -> anyhow::Result<Vec<File>> {
    let names: &[&str] = match world {
        World::Rooms => &["handler"],
        // The new handler builds on the default one, or the default one is behind the middleware.
        World::Messages | World::Middleware => &["handler", "messages", "text"],
        World::Events => &["events", "handler"],
    };
    let root = Path::new("ondol");
    let below = |directory: PathBuf| move |File { path, text }: File| File { path: directory.join(path), text };
    let mut files: Vec<File> = contract(&root.join("wit")).collect();
    let mut dependencies = BTreeSet::new();
    for name in names {
        let directory = CRATES.get_dir(name).with_context(|| format!("no crate {name}"))?;
        for file in texts(directory).map(below(root.join("handlers").join(name))) {
            if file.path.ends_with("Cargo.toml") {
                dependencies.extend(inherited(&file.text)?);
            }
            files.push(file);
        }
    }
    files.push(File { path: root.join("Cargo.toml"), text: workspace(&dependencies)? });
    Ok(files)
}

/// The versions that Ondol is tested with, for a workspace in this directory.
pub(super) fn lock(directory: &str) -> File {
    File { path: Path::new(directory).join("Cargo.lock"), text: LOCK.to_owned() }
}

/// The contract, in a directory.
pub(super) fn contract(directory: &Path) -> impl Iterator<Item = File> {
    texts(&CONTRACT).map(|File { path, text }| File { path: directory.join(path), text })
}

/// The dependencies that a crate has from its workspace.
fn inherited(manifest: &str) -> anyhow::Result<Vec<String>> {
    let manifest: Table = manifest.parse()?;
    let tables = ["dependencies", "dev-dependencies"].into_iter().filter_map(|key| manifest.get(key)?.as_table());
    Ok(tables.flat_map(|table| table.keys().cloned()).collect())
}

/// The manifest of a workspace with these crates alone.
fn workspace(dependencies: &BTreeSet<String>) -> anyhow::Result<String> {
    let mut manifest: Table = WORKSPACE.parse()?;
    let mut workspace = manifest.remove("workspace").context("a workspace")?;
    let table = workspace.as_table_mut().context("a workspace is a table")?;
    table.remove("default-members");
    table.insert("members".to_owned(), Value::Array(vec!["handlers/*".into()]));
    if let Some(all) = table.get_mut("dependencies").and_then(Value::as_table_mut) {
        all.retain(|name, _| dependencies.contains(name));
    }
    Ok(toml::to_string(&Table::from_iter([("workspace".to_owned(), workspace)]))?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    #[test]
    fn a_handler_gets_the_crates_that_it_depends_on() {
        let files = files(World::Messages).unwrap();
        let text = |path: &str| &files.iter().find(|file| file.path == Path::new(path)).unwrap().text;
        assert!(text("ondol/wit/worlds.wit").contains("world message-handler"));
        assert!(text("ondol/handlers/messages/Cargo.toml").contains("ondol-text.workspace = true"));
        let workspace = text("ondol/Cargo.toml");
        assert!(workspace.contains("[workspace.dependencies.ondol-text]"), "{workspace}");
        assert!(!workspace.contains("wasmtime") && !workspace.contains("host/"), "{workspace}");
    }
}
