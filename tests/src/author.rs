//! The author of a handler: a project that `ondol new` has made, and `ondol dev` at work in it. Knows nothing of what the
//! project is about.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    command::{binary, ondol, run},
    handlers::target,
    log::Log,
    process::address_in,
};

/// A project. It stays where it is, so that its dependencies are built once; what it builds goes to a directory that all
/// projects share.
#[derive(Debug)]
pub struct Project {
    directory: PathBuf,
    name: String,
    handler: String,
}

/// `ondol dev`, until it is dropped.
#[derive(Debug)]
pub struct Dev {
    process: Child,
    output: Log,
    /// What it reports, with what the build and the server print.
    pub log: Log,
}

impl Project {
    /// Makes a new one, in place of the one that an earlier run has left. Each story has a name of its own.
    ///
    /// # Errors
    /// When `ondol new` fails.
    pub fn new(story: &str, handler: &str) -> Result<Self> {
        let name = format!("{story}-{handler}");
        let projects = target().join("projects");
        fs::create_dir_all(projects.join("target"))?;
        let directory = projects.canonicalize()?.join(&name);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        let words = ["new", &directory.display().to_string(), "--world", handler].map(str::to_owned);
        ondol(&words)?.expect(0)?;
        std::os::unix::fs::symlink("../target", directory.join("target"))?;
        Ok(Self { directory, name, handler: handler.to_owned() })
    }

    /// The handler that it writes.
    #[must_use]
    pub fn handler(&self) -> &str {
        &self.handler
    }

    /// The path of a file in it.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// The component that it builds.
    #[must_use]
    pub fn component(&self) -> PathBuf {
        self.path(&format!("target/wasm32-wasip2/release/{}.wasm", self.name.replace('-', "_")))
    }

    /// Runs cargo in it. All that it needs has been downloaded for the workspace.
    ///
    /// # Errors
    /// When it fails.
    pub fn cargo(&self, words: &[&str]) -> Result<String> {
        let manifest = self.path("Cargo.toml");
        let mut command = Command::new("cargo");
        command.args(words).arg("--manifest-path").arg(manifest).arg("--target-dir").arg(self.path("target"));
        run(command.args(["--offline", "--color", "never"]))?.expect(0)
    }

    /// Builds the component.
    ///
    /// # Errors
    /// When it does not build.
    pub fn build(&self) -> Result<String> {
        self.cargo(&["build", "--release", "--target", "wasm32-wasip2"])
    }

    /// Replaces a text in a file, as an editor saves it.
    ///
    /// # Errors
    /// When it is not there.
    pub fn edit(&self, file: &str, from: &str, to: &str) -> Result<()> {
        let path = self.path(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(from), "there is no {from:?} in {}", path.display());
        let beside = path.with_extension("edited~");
        fs::write(&beside, text.replace(from, to))?;
        Ok(fs::rename(beside, path)?)
    }

    /// Starts `ondol dev` in it, with these flags.
    ///
    /// # Errors
    /// When it does not start.
    pub fn dev(&self, flags: &[&str]) -> Result<Dev> {
        let mut command = Command::new(binary());
        command.arg("dev").arg(&self.directory).args(flags);
        command.env("NO_COLOR", "1").env("CARGO_TERM_COLOR", "never").env("CARGO_NET_OFFLINE", "true");
        command.env_remove("CARGO_TARGET_DIR").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().context("ondol dev does not start")?;
        let output = Log::follow(process.stdout.take().context("no standard output")?);
        let log = Log::follow(process.stderr.take().context("no standard error")?);
        Ok(Dev { process, output, log })
    }
}

impl Dev {
    /// Host and port of its own server.
    ///
    /// # Errors
    /// When it has none.
    pub async fn address(&self) -> Result<String> {
        address_in(&self.output.line_since(0, &["listening on http"]).await?)
    }

    /// Waits until a version is active since `mark`.
    ///
    /// # Errors
    /// When none is in time.
    pub async fn active_since(&self, mark: usize) -> Result<()> {
        self.log.line_since(mark, &["ondol dev:", "is active (release"]).await.map(drop)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        println!("── ondol dev ──");
        self.log.last().iter().for_each(|line| println!("{line}"));
    }
}
