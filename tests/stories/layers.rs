//! The picture of docs/architecture.md, held by the manifests of the host's crates and, inside the binary's crate, by its
//! imports. The only story beside `words` and `documents` that reads the source.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use ondol_tests::{TestResult, handlers::workspace};

/// Which crate of the host may depend on which: arrows point down only.
const CRATES: [(&str, &[&str]); 7] = [
    ("cluster", &[]),
    ("model", &[]),
    ("process", &[]),
    ("rooms", &["model"]),
    ("store", &["model", "process"]),
    ("handlers", &["model", "process"]),
    ("ondol", &["cluster", "handlers", "model", "process", "rooms", "store"]),
];

/// Libraries that one crate of the host alone depends on.
const LIBRARIES: [(&str, &str); 12] = [
    ("async-nats", "cluster"),
    ("wasmtime", "handlers"),
    ("wasmtime-wasi", "handlers"),
    ("rusqlite", "store"),
    ("tokio-postgres", "store"),
    ("tokio-postgres-rustls", "store"),
    ("hyper", "ondol"),
    ("hyper-util", "ondol"),
    ("http-body-util", "ondol"),
    ("tokio-rustls", "ondol"),
    ("tokio-tungstenite", "ondol"),
    ("prometheus-client", "ondol"),
];

/// The dependencies of each crate in `folder`, tests left out.
fn dependencies(folder: &str) -> TestResult<BTreeMap<String, BTreeSet<String>>> {
    let folders = fs::read_dir(workspace().join(folder))?.collect::<Result<Vec<_>, _>>()?;
    let crates = folders.iter().map(|folder| {
        let manifest: toml::Table = fs::read_to_string(folder.path().join("Cargo.toml"))?.parse()?;
        let named = manifest.get("dependencies").and_then(toml::Value::as_table).context("no dependencies")?;
        Ok((folder.file_name().to_string_lossy().into_owned(), named.keys().cloned().collect()))
    });
    crates.collect()
}

#[test]
fn crates_of_the_host_depend_downwards_only() -> TestResult {
    let ours = |names: &BTreeSet<String>| -> BTreeSet<String> {
        names.iter().filter_map(|name| name.strip_prefix("ondol-host-")).map(str::to_owned).collect()
    };
    let found: BTreeMap<_, _> = dependencies("host")?.iter().map(|(name, names)| (name.clone(), ours(names))).collect();
    let drawn = CRATES.map(|(name, below)| (name.to_owned(), below.iter().map(|&name| name.to_owned()).collect()));
    assert_eq!(found, BTreeMap::from(drawn));
    Ok(())
}

#[test]
fn a_library_is_known_to_one_crate_of_the_host() -> TestResult {
    let crates = dependencies("host")?;
    for (library, owner) in LIBRARIES {
        let known: Vec<_> = crates.iter().filter(|(_, names)| names.contains(library)).map(|(name, _)| name).collect();
        assert_eq!(known, [owner], "{library}");
    }
    Ok(())
}

#[test]
fn default_handlers_share_the_contract_and_the_rules_of_text_and_nothing_else() -> TestResult {
    for (name, names) in dependencies("handlers")? {
        let ours: Vec<_> = names.iter().filter(|name| name.starts_with("ondol")).collect();
        let shared = matches!(name.as_str(), "handler" | "text");
        let allowed = |ours: &str| !shared && matches!(ours, "ondol-handler" | "ondol-text");
        assert!(ours.iter().all(|ours| allowed(ours)), "{name} depends on {ours:?}");
    }
    Ok(())
}

/// The files of all crates of the host, with their paths under `host`.
fn sources() -> TestResult<Vec<(String, String)>> {
    let root = workspace().join("host");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    let named =
        files.iter().map(|file| Ok((file.strip_prefix(&root)?.display().to_string(), fs::read_to_string(file)?)));
    named.collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> TestResult {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// Holds that no file of a module, by its path under `host`, names one of `others`, as `crate::other`, in a group, or as a
/// crate.
fn knows_nothing_of(module: &str, others: &[&str]) -> TestResult {
    let (file, folder) = (format!("{module}.rs"), format!("{module}/"));
    let mut seen = 0;
    for (path, source) in sources()?.iter().filter(|(path, _)| *path == file || path.starts_with(&folder)) {
        seen += 1;
        // Without comments and line breaks, so that a group is one piece of text however it is wrapped.
        let code: String = source.lines().map(|line| line.split("//").next().unwrap_or_default().trim()).collect();
        for other in others {
            let groups = code.split("crate::{").skip(1).filter_map(|rest| rest.split(';').next());
            let mut grouped = groups.flat_map(|group| group.split([',', '{', '}', ' ']));
            let named = code.contains(&format!("crate::{other}"))
                || code.contains(&format!("ondol_host_{other}"))
                || grouped.any(|name| name.split("::").next() == Some(other));
            assert!(!named, "{path} must know nothing of {other}");
        }
    }
    assert!(seen > 0, "there is no module {module}");
    Ok(())
}

#[test]
fn the_application_does_not_know_the_edge() -> TestResult {
    knows_nothing_of("ondol/src/chat", &["http", "server", "cli"])
}

#[test]
fn the_edge_reaches_the_rest_through_the_application() -> TestResult {
    knows_nothing_of("ondol/src/http", &["store", "handlers", "server", "cli"])
}

#[test]
fn what_is_measured_does_not_know_how_it_is_asked_for() -> TestResult {
    knows_nothing_of("ondol/src/metrics", &["server", "cli"])?;
    knows_nothing_of("ondol/src/http", &["metrics"])?;
    knows_nothing_of("ondol/src/chat", &["metrics"])
}

#[test]
fn the_config_knows_nothing_above_it() -> TestResult {
    knows_nothing_of("ondol/src/config", &["chat", "http", "server", "cli"])
}

#[test]
fn moving_knows_the_store_and_the_limits_alone() -> TestResult {
    knows_nothing_of("ondol/src/moving", &["chat", "http", "server", "cli", "handlers", "rooms"])
}

#[test]
fn tls_and_files_know_nothing_above_them() -> TestResult {
    let above = ["chat", "http", "server", "cli"];
    knows_nothing_of("ondol/src/tls", &above)?;
    knows_nothing_of("ondol/src/files", &above)
}

#[test]
fn inside_the_handlers_a_folder_knows_those_below_it_only() -> TestResult {
    let door = ["handlers", "release", "active"];
    knows_nothing_of("handlers/src/rollout", &door)?;
    knows_nothing_of("handlers/src/admit", &[&door[..], &["rollout"]].concat())?;
    knows_nothing_of("handlers/src/run", &[&door[..], &["rollout", "admit"]].concat())
}

#[test]
fn only_the_config_reads_the_environment() -> TestResult {
    for (file, source) in sources()? {
        let reads = ["std::env", "env::var", "env::args", "env::set"].iter().any(|call| source.contains(call));
        // The standard library has the path of the own executable in `std::env` too. A build script is told by it where to write.
        let may = file == "ondol/src/config.rs"
            || file == "ondol/build.rs"
            || file.starts_with("ondol/src/config/")
            || file == "process/src/executable.rs";
        assert!(!reads || may, "{file} reads the environment");
    }
    Ok(())
}

#[test]
fn no_file_is_longer_than_400_lines() -> TestResult {
    let long: Vec<_> =
        sources()?.into_iter().filter(|(_, source)| source.lines().count() > 400).map(|(file, _)| file).collect();
    assert_eq!(long, [""; 0]);
    Ok(())
}

#[test]
fn a_file_opens_with_what_it_does() -> TestResult {
    let silent: Vec<_> =
        sources()?.into_iter().filter(|(_, source)| !source.starts_with("//!")).map(|(file, _)| file).collect();
    assert_eq!(silent, [""; 0]);
    Ok(())
}
