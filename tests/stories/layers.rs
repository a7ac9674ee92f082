//! The picture of the code map, held by reading the imports: who may know whom. The only story that reads the source.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ondol_tests::{TestResult, handlers::workspace};

/// The files of the host with their paths under `host/ondol/src`.
fn sources() -> TestResult<Vec<(String, String)>> {
    let root = workspace().join("host/ondol/src");
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

/// The lines of code that name `path`, as `name::…`, `use name;` or `crate::name`. Comments and strings may say what
/// they like.
fn naming(source: &str, path: &str) -> Vec<String> {
    let names = |line: &str| {
        line.match_indices(path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = &line[at + path.len()..];
            let begins = before.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == ':' || c == '"'));
            begins && (after.starts_with("::") || after.starts_with(';') || after.starts_with(" as "))
        })
    };
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.filter(|line| names(line)).map(|line| line.trim().to_owned()).collect()
}

/// Whether `file` belongs to one of `modules`: `store` is `store.rs` and all under `store/`.
fn within(file: &str, modules: &[&str]) -> bool {
    modules.iter().any(|module| file == format!("{module}.rs") || file.starts_with(&format!("{module}/")))
}

/// Holds that only `modules` name `path`.
fn only(path: &str, modules: &[&str]) -> TestResult {
    let mut strangers = Vec::new();
    for (file, source) in sources()? {
        let lines = naming(&source, path);
        if !within(&file, modules) && !lines.is_empty() {
            strangers.push(format!("{file}: {lines:?}"));
        }
    }
    assert!(strangers.is_empty(), "{path} is for {modules:?} alone: {strangers:#?}");
    Ok(())
}

/// Holds that no file of `module` names one of `others` of this crate.
fn knows_nothing_of(module: &str, others: &[&str]) -> TestResult {
    for (file, source) in sources()? {
        if !within(&file, &[module]) {
            continue;
        }
        for other in others {
            let direct = naming(&source, &format!("crate::{other}"));
            let grouped = source.lines().any(|line| {
                line.split_once("crate::{").is_some_and(|(_, rest)| {
                    rest.split([',', '{', '}']).any(|name| name.trim().split("::").next() == Some(other))
                })
            });
            assert!(direct.is_empty() && !grouped, "{file} must know nothing of {other}: {direct:?}");
        }
    }
    Ok(())
}

#[test]
fn only_handlers_know_wasmtime() -> TestResult {
    only("wasmtime", &["handlers"])?;
    only("wasmtime_wasi", &["handlers"])
}

#[test]
fn only_the_store_knows_sqlite() -> TestResult {
    only("rusqlite", &["store"])
}

#[test]
fn only_the_edge_knows_http_and_websockets() -> TestResult {
    for library in ["hyper", "hyper_util", "http_body_util", "tungstenite", "tokio_tungstenite"] {
        only(library, &["http", "server"])?;
    }
    Ok(())
}

#[test]
fn only_config_reads_the_environment() -> TestResult {
    only("std::env", &["config"])?;
    for (file, source) in sources()? {
        let reads = ["env::var", "env::args", "env::set"].iter().any(|call| source.contains(call));
        assert!(!reads || within(&file, &["config"]), "{file} reads the environment");
    }
    Ok(())
}

#[test]
fn the_three_siblings_do_not_know_each_other() -> TestResult {
    let above = ["chat", "http", "server", "cli"];
    knows_nothing_of("store", &[&["rooms", "handlers"][..], &above].concat())?;
    knows_nothing_of("rooms", &[&["store", "handlers"][..], &above].concat())?;
    knows_nothing_of("handlers", &[&["store", "rooms"][..], &above].concat())
}

#[test]
fn the_ground_knows_nobody() -> TestResult {
    let all = ["store", "rooms", "handlers", "chat", "http", "server", "cli"];
    knows_nothing_of("config", &all)?;
    knows_nothing_of("config", &all)
}

#[test]
fn the_application_does_not_know_the_edge() -> TestResult {
    knows_nothing_of("chat", &["http", "server", "cli"])
}

#[test]
fn the_edge_reaches_the_rest_through_chat() -> TestResult {
    knows_nothing_of("http", &["store", "handlers", "server", "cli"])
}

#[test]
fn no_file_is_longer_than_one_reads_at_a_sitting() -> TestResult {
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
