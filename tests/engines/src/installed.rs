//! Which programs are installed, and as which user those run that refuse root.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// The oldest PostgreSQL that Ondol works with.
const POSTGRES_MIN: u32 = 15;

/// The directory of PostgreSQL's programs: the newest one that Debian's packages install, else that of the PATH.
pub(crate) fn postgres() -> Option<PathBuf> {
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut packaged: Vec<_> = packaged
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(version, programs)| *version >= POSTGRES_MIN && programs.join("postgres").exists())
        .collect();
    packaged.sort();
    packaged.pop().map(|(_, programs)| programs).or_else(|| {
        let programs = found("postgres", &[])?.parent()?.to_owned();
        (major(&programs)? >= POSTGRES_MIN).then_some(programs)
    })
}

/// The major version of the programs in a directory, from `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major(programs: &Path) -> Option<u32> {
    let output = Command::new(programs.join("postgres")).arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    version.split(' ').nth(2)?.split('.').next()?.parse().ok()
}

/// A program in the PATH or in one of `others`.
pub(crate) fn found(program: &str, others: &[&str]) -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let mut directories = env::split_paths(&paths).chain(others.iter().map(PathBuf::from));
    directories.find_map(|directory| Some(directory.join(program)).filter(|path| path.exists()))
}

/// Names the test as skipped when `program` was not found.
///
/// # Errors
/// When it is missing and `CI` is set.
pub(crate) fn or_skip<T>(found: Option<T>, program: &str) -> Result<Option<T>> {
    ensure!(found.is_some() || env::var_os("CI").is_none(), "{program} is not installed, and CI is set");
    if found.is_none() {
        let thread = std::thread::current();
        eprintln!("skipped: {}: {program} is not installed", thread.name().unwrap_or("a test"));
    }
    Ok(found)
}

/// A user by numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl User {
    /// The user that a program runs as which refuses root. `None` where the process is not root.
    pub(crate) fn instead_of_root() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let user = named("postgres").or_else(|| named("nobody")).context("no user to run PostgreSQL as")?;
        Ok(Some(user))
    }

    /// The words before a command that make it run as this user.
    pub(crate) fn words(self) -> [String; 4] {
        let (user, group) = (format!("--reuid={}", self.user), format!("--regid={}", self.group));
        ["setpriv".into(), user, group, "--clear-groups".into()]
    }
}

fn named(name: &str) -> Option<User> {
    let number = |which: &str| {
        let output = Command::new("id").args([which, name]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    Some(User { user: number("-u")?, group: number("-g")? })
}
