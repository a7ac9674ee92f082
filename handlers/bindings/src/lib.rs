//! The bindings of `ondol-handler`: they are what wit-bindgen writes for the contract in `wit/`. They are kept in the
//! repository because the macro that would write them takes most of a minute to compile. `make bindings` renews them.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result};
use wit_bindgen_core::{Files, WorldGenerator as _, wit_parser::Resolve};
use wit_bindgen_rust::{Opts, WithOption};

/// Each world with the file of its bindings. The first has what is common to all.
const WORLDS: [(&str, &str); 4] = [
    ("message-handler", "messages"),
    ("room-handler", "rooms"),
    ("event-handler", "events"),
    ("message-middleware", "middleware"),
];

/// The interfaces that all worlds share, and where their bindings are.
const SHARED: [&str; 3] = ["types", "settings", "users"];

/// The root of the workspace.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What wit-bindgen writes for a world.
fn generated(world: &str, file: &str, shares: bool) -> Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(workspace().join("wit"))?;
    let id = resolve.select_world(&[package], Some(world))?;
    let version = resolve.packages[package].name.version.as_ref().context("a version")?.to_string();
    let with = |interface: &str| {
        let path = format!("crate::bindings::messages::ondol::chat::{interface}");
        (format!("ondol:chat/{interface}@{version}"), WithOption::Path(path))
    };
    let is_imported = |interface: &&str| {
        let imported = resolve.worlds[id].imports.keys().map(|key| resolve.name_world_key(key));
        imported.into_iter().any(|name| name == format!("ondol:chat/{interface}@{version}"))
    };
    let options = Opts {
        format: true,
        pub_export_macro: true,
        default_bindings_module: Some(format!("ondol_handler::bindings::{file}")),
        export_macro_name: Some("export".to_owned()),
        with: SHARED.into_iter().filter(is_imported).filter(|_| shares).map(with).collect(),
        // Natively, tests compare what a handler answers.
        additional_derive_attributes: vec!["PartialEq".to_owned()],
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, id, &mut files)?;
    let (_, bytes) = files.iter().next().context("wit-bindgen writes a file")?;
    // Two worlds export `messages`, and macros have one namespace in a crate.
    Ok(String::from_utf8(bytes.to_vec())?.replace("__export_ondol_chat_", &format!("__export_{file}_")))
}

#[test]
fn the_bindings_are_those_of_the_contract() -> Result<()> {
    for (number, (world, name)) in WORLDS.into_iter().enumerate() {
        let file = workspace().join(format!("handlers/handler/src/bindings/{name}.rs"));
        let expected = generated(world, name, number > 0)?;
        if env::var_os("UPDATE_BINDINGS").is_some() {
            fs::write(&file, expected)?;
        } else if fs::read_to_string(&file)? != expected {
            anyhow::bail!("{} is not of this contract: run `make bindings`", file.display());
        }
    }
    Ok(())
}
