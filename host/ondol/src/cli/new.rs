//! `ondol new`: a directory with a handler that builds at once. All of it comes out of the binary; what a language's own
//! tools have to fetch is fetched by them.

mod crates;
mod examples;
mod template;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use self::template::{File, Names};
use self::world::World;
use super::shared::Misuse;

/// The longest name of a handler, in characters.
const NAME_LENGTH_MAX: usize = 64;

/// Create a handler that builds at once
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct New {
    /// Directory to create; its last part is the handler's name
    #[arg(value_name = "NAME")]
    directory: PathBuf,
    /// Language to write it in
    #[arg(long, value_enum, default_value = "rust")]
    lang: Language,
    /// Handler to write, or middleware for a messages handler
    #[arg(long, value_enum)]
    world: World,
}

/// A language that has templates.
// Doc comments on the variants would turn the compact `--help` into clap's long form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    #[value(alias = "javascript")]
    Js,
    Python,
    C,
}

const AFTER_HELP: &str = "\
Creates the code with its tests, a table of cases, the contract in `wit/`, a README with the
commands, and a handler.toml for `ondol dev`. Exits with 2 if the directory exists, or if there is
no template of this world in this language.

Examples:
  ondol new my-rooms --world rooms
  ondol new my-smile --world middleware
  ondol new my-messages --lang python --world messages
  ondol new my-filter --lang c --world middleware";

impl Language {
    /// Its name, which is that of the directory of its templates.
    fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Python => "python",
            Self::C => "c",
        }
    }

    /// The files of a handler in it.
    fn files(self, names: &Names<'_>) -> anyhow::Result<Vec<File>> {
        match self {
            Self::Rust => {
                let mut files = template::files(&["rust/common", &format!("rust/{}", names.world.name())], names)?;
                files.extend(crates::files(names.world)?);
                // Cargo drops what the handler does not need.
                files.push(crates::lock(""));
                if names.world == World::Middleware {
                    files.extend(behind(names)?);
                }
                Ok(files)
            }
            Self::Js | Self::Python | Self::C => examples::files(self.name(), names),
        }
    }
}

/// What builds the handler behind a middleware: the default one.
fn behind(names: &Names<'_>) -> anyhow::Result<Vec<File>> {
    let mut files = template::files(&["behind"], names)?;
    files.push(crates::lock("ondol"));
    Ok(files)
}

impl New {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let name = name(&self.directory)?;
        let files = self.lang.files(&Names { name, world: self.world })?;
        let directory = self.directory.display();
        // A directory that exists is left alone, whatever is in it.
        fs::create_dir(&self.directory).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Misuse(format!("{directory} exists already")),
            _ => Misuse(format!("cannot create {directory}: {error}")),
        })?;
        for File { path, text } in files {
            write(&self.directory.join(path), &text)?;
        }
        println!("created {directory}: a {} in {}\n", self.world.described(), self.lang.name());
        println!("  cd {directory}\n  ondol dev .          builds it and starts a server with it\n");
        println!("README.md has the other commands.");
        Ok(ExitCode::SUCCESS)
    }
}

/// The name of a handler, from the directory to create: as cargo, npm and Python accept it.
fn name(directory: &Path) -> Result<&str, Misuse> {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let accepted = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.len() > NAME_LENGTH_MAX
        || !name.starts_with(|c: char| c.is_ascii_lowercase())
        || name.ends_with('-')
        || !name.chars().all(accepted)
    {
        return Err(Misuse(format!(
            "a handler's name has lower-case letters, digits and hyphens, begins with a letter and has at most \
             {NAME_LENGTH_MAX} characters, such as my-rooms; got {name:?}"
        )));
    }
    Ok(name)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = path.parent().context("a file is in a directory")?;
    let written = fs::create_dir_all(directory).and_then(|()| fs::write(path, text));
    written.with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_package_managers_accept() {
        for good in ["a", "my-rooms", "work/my-rooms", "filter2/"] {
            assert!(name(Path::new(good)).is_ok(), "{good}");
        }
        for bad in ["", "/", "..", "My-Rooms", "2fast", "-a", "a-", "방", "my rooms", "my_rooms", &"a".repeat(65)] {
            assert!(name(Path::new(bad)).is_err(), "{bad}");
        }
    }
}
