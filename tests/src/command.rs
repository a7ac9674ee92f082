//! The binary, run to its end: for all commands but `serve`.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::handlers::{target, workspace};

/// The outcome of a command.
#[derive(Debug)]
pub struct Output {
    /// Its exit status.
    pub status: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// The path of the binary: `$ONDOL_BIN`, or the result of `make build`.
#[must_use]
pub fn binary() -> PathBuf {
    env::var_os("ONDOL_BIN").map_or_else(|| target().join("release/ondol"), PathBuf::from)
}

/// Runs `ondol` with these words, in the root of the workspace, to its end.
///
/// # Errors
/// When it cannot be started, or was killed.
pub fn ondol<W: AsRef<std::ffi::OsStr>>(words: &[W]) -> Result<Output> {
    ondol_with(words, &[])
}

/// The same, with environment variables.
///
/// # Errors
/// When it cannot be started, or was killed.
pub fn ondol_with<W: AsRef<std::ffi::OsStr>>(words: &[W], environment: &[(&str, &str)]) -> Result<Output> {
    run(Command::new(binary()).args(words).envs(environment.iter().copied()))
}

/// Whether a program is installed. If not, the story is named as skipped, except under CI, where that is an error.
///
/// # Errors
/// When it is missing where it must not be.
pub fn is_installed(program: &str) -> Result<bool> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let there = env::split_paths(&paths).any(|path| path.join(program).exists());
    ensure!(there || env::var_os("CI").is_none(), "{program} is not installed, and CI is set");
    if !there {
        let thread = std::thread::current();
        eprintln!("skipped: {}: {program} is not installed", thread.name().unwrap_or("a story"));
    }
    Ok(there)
}

/// Runs a command that starts `ondol`, in the root of the workspace, to its end.
///
/// # Errors
/// When it cannot be started, or was killed.
pub fn run(command: &mut Command) -> Result<Output> {
    command.env("NO_COLOR", "1").env("ONDOL_CACHE", target().join("test-cache"));
    let output =
        command.current_dir(workspace()).stdin(Stdio::null()).output().context("the program does not start")?;
    Ok(Output {
        status: output.status.code().context("the command was killed")?,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

impl Output {
    /// Checks the exit status, and returns everything that was written.
    ///
    /// # Errors
    /// When the status is different.
    pub fn expect(&self, status: i32) -> Result<String> {
        let all = format!("{}{}", self.stdout, self.stderr);
        ensure!(self.status == status, "expected the exit status {status}, got {}:\n{all}", self.status);
        Ok(all)
    }

    /// Checks the exit status, and that every one of `parts` was written.
    ///
    /// # Errors
    /// When one is missing.
    pub fn expect_parts(&self, status: i32, parts: &[&str]) -> Result<()> {
        let all = self.expect(status)?;
        for part in parts {
            ensure!(all.contains(part), "expected {part:?} in:\n{all}");
        }
        Ok(())
    }
}
