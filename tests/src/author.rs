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
    handlers::{is_there, target},
    log::Log,
    process::address_in,
};

/// Tools of a language: where a project expects them, where `make examples` installs them, and a part of them.
type Tools = (&'static str, &'static str, &'static str);

/// Those of each language.
const TOOLS: [(&str, &[Tools]); 3] = [
    ("js", &[("node_modules", "examples-node/node_modules", ".bin/componentize-js")]),
    ("python", &[(".venv", "examples", "bin/componentize-py")]),
    ("c", &[(".venv", "examples", "bin/python-zig"), (".tools", "examples", "bin/wit-bindgen")]),
];

/// A project. It stays where it is, so that its dependencies are built once; what it builds goes to a directory that all
/// projects share.
#[derive(Debug)]
pub struct Project {
    directory: PathBuf,
    name: String,
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
    /// Makes a new one in Rust, in place of the one that an earlier run has left. Each story has a name of its own.
    ///
    /// # Errors
    /// When `ondol new` fails.
    pub fn new(story: &str, world: &str) -> Result<Self> {
        Self::create(format!("{story}-{world}"), "rust", world)
    }

    /// The same in another language, with the tools that `make examples` has installed. None if it has not: then the story
    /// is named as skipped, except under CI, where that is an error.
    ///
    /// # Errors
    /// When `ondol new` fails, or tools are missing where they must not be.
    pub fn in_language(story: &str, lang: &str, world: &str) -> Result<Option<Self>> {
        let links = TOOLS.iter().find(|(of, _)| *of == lang).map_or(&[][..], |(_, links)| *links);
        let tools = target().join("tools");
        for (_, directory, part) in links {
            if !is_there(&format!("{story}-{lang}"), &tools.join(directory).join(part))? {
                return Ok(None);
            }
        }
        let project = Self::create(format!("{story}-{lang}-{world}"), lang, world)?;
        for (link, directory, _) in links {
            std::os::unix::fs::symlink(tools.join(directory).canonicalize()?, project.path(link))?;
        }
        Ok(Some(project))
    }

    fn create(name: String, lang: &str, world: &str) -> Result<Self> {
        let projects = target().join("projects");
        fs::create_dir_all(projects.join("target"))?;
        let directory = projects.canonicalize()?.join(&name);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        let words = ["new", &directory.display().to_string(), "--lang", lang, "--world", world].map(str::to_owned);
        ondol(&words)?.expect(0)?;
        std::os::unix::fs::symlink("../target", directory.join("target"))?;
        Ok(Self { directory, name })
    }

    /// Runs the first commands of its README, which build and check it; but for those that install its tools.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn follow_readme(&self) -> Result<String> {
        let readme = fs::read_to_string(self.path("README.md"))?;
        let block = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
        let installs = |line: &&str| line.ends_with(", once");
        let commands: Vec<_> = block.context("no commands")?.lines().filter(|line| !installs(line)).collect();
        let (directory, binary) = (self.directory.display(), binary().canonicalize()?);
        let script =
            format!("set -e\ncd '{directory}'\nondol() {{ '{}' \"$@\"; }}\n{}", binary.display(), commands.join("\n"));
        let mut command = Command::new("sh");
        command.args(["-c", &script]).env("CARGO_TERM_COLOR", "never").env("CARGO_NET_OFFLINE", "true");
        run(command.env_remove("CARGO_TARGET_DIR"))?.expect(0)
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

    /// Waits until a version is built since `mark`; longer than for anything else, as some compilers take a minute on a busy
    /// machine.
    ///
    /// # Errors
    /// When none is in time.
    pub async fn built_since(&self, mark: usize) -> Result<()> {
        let mut built = Err(anyhow::anyhow!("not waited"));
        for _ in 0..5 {
            built = self.log.line_since(mark, &["ondol dev: built in"]).await;
            if built.is_ok() {
                break;
            }
        }
        built.map(drop)
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
