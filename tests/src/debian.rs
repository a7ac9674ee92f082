//! A small Debian in a folder: packages are installed in it, and the server runs in it. Needs root, debootstrap's result and
//! cargo-deb. Knows nothing of the package.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::handlers::{target, workspace};

/// The folder.
pub struct Debian {
    root: TempDir,
}

/// What debootstrap made: `debootstrap --variant=minbase bookworm target/tools/debian-bookworm`.
fn bootstrapped() -> PathBuf {
    target().join("tools/debian-bookworm")
}

impl Debian {
    /// A fresh one. None if something that it needs is missing: then the story is named as skipped, except under CI, where
    /// that is an error.
    ///
    /// # Errors
    /// When something is missing where it must not be.
    pub fn start(story: &str) -> Result<Option<Self>> {
        let may = Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|tried| tried.status.success());
        let made = bootstrapped().join("usr/bin/dpkg").exists();
        let packs = Command::new(target().join("tools/bin/cargo-deb")).arg("--version").output().is_ok();
        let missing = match (may, made, packs) {
            (false, _, _) => "it needs root",
            (_, false, _) => "target/tools/debian-bookworm is not there: debootstrap makes it",
            (_, _, false) => "cargo-deb is not in target/tools/bin: `make deb` installs it",
            _ => {
                let root = TempDir::with_prefix("ondol-story-")?;
                let mut copy = Command::new("cp");
                copy.args(["-a", "--reflink=auto"]).arg(bootstrapped().join(".")).arg(root.path());
                ensure!(copy.status()?.success(), "cannot copy the folder");
                return Ok(Some(Self { root }));
            }
        };
        ensure!(env::var_os("CI").is_none(), "{story}: {missing}, and CI is set");
        eprintln!("skipped: {story}: {missing}");
        Ok(None)
    }

    /// A file of it.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// A command in it, with a script for `sh`.
    fn command(&self, script: &str) -> Command {
        // Mounts of a namespace of its own go with the last process in it.
        let outside =
            "mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && exec chroot \"$0\" sh -c \"$1\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", outside]).arg(self.root.path()).arg(script);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1");
        command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        command
    }

    /// Runs a script to its end, and returns what it wrote.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&self, script: &str) -> Result<String> {
        let Output { status, stdout, stderr } = self.command(script).output()?;
        let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        ensure!(status.success(), "{script}: {status}\n{said}");
        Ok(said)
    }

    /// Starts a script that goes on. It has to replace itself with a program.
    ///
    /// # Errors
    /// When it does not start.
    pub fn spawn(&self, script: &str) -> Result<Child> {
        let mut command = self.command(script);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().context("no unshare")
    }
}

/// Makes a package of what was built.
///
/// # Errors
/// When that fails.
pub fn package(version: &str, to: &Path) -> Result<()> {
    let pages = Command::new("make").args(["--no-print-directory", "pages"]).current_dir(workspace()).output()?;
    ensure!(pages.status.success(), "{}", String::from_utf8_lossy(&pages.stderr));
    let mut deb = Command::new(target().join("tools/bin/cargo-deb"));
    deb.args(["deb", "--no-build", "--fast", "--quiet", "-p", "ondol", "--deb-version", version, "--output"]).arg(to);
    let output = deb.current_dir(workspace()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
