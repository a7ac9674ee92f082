//! `ondol dev`: builds a handler at each save, checks it, and makes it active in a server, its own or a running one. What
//! fails on the way is shown, and the active version stays.

mod deploy;
mod project;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use rustix::fs::Mode;
use rustix::process::umask;

use self::project::{Build, Project};
use self::sources::Sources;
use super::shared::kibibytes;
use crate::config::{Config, ConfigFlags};
use crate::http::client::AdminServer;
use ondol_host_handlers::{Admission, Sandbox};

/// The directory in a project that holds the server's data and the compiled handlers.
const STATE: &str = ".ondol";

/// The log of a server of its own. It is never ready: two of its handlers are the built-in ones, as they should be.
const LOG: &str = "info,ondol::chat::opening=off,ondol::chat::readiness=off";

/// How long a server of its own may take to come up.
const START_MAX: Duration = Duration::from_secs(60);

/// Build, check and deploy a handler at each save
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Dev {
    /// Directory with a handler.toml
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Deploy to the server with this admin API, and start none [env: ONDOL_ADMIN]
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<String>,
    /// Trust only the authority in this PEM file for https [env: ONDOL_ADMIN_CA]
    #[arg(long, value_name = "FILE")]
    admin_ca: Option<PathBuf>,
    /// File with the token [env: ONDOL_ADMIN_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,
    /// Listen on this address with a server of its own [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

const AFTER_HELP: &str = "\
The file handler.toml, which `ondol new` writes, names the build command, its output, the cases and
the files to watch. A version that does not build, fails an admission check or fails a case is
never active. Without --admin, a server starts once the first version is good, with the built-in
handlers beside it; its data is in DIR/.ondol, and its log follows in this terminal. With --admin,
what the handler prints in that server follows, and its faults.

Examples:
  ondol dev my-rooms
  ondol dev my-rooms --listen 127.0.0.1:9000
  ondol dev my-rooms --admin 127.0.0.1:8001        into a running server";

impl Dev {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let directory = fs::canonicalize(&self.directory)
            .with_context(|| format!("cannot open the directory {}", self.directory.display()))?;
        let mut bench = Workbench::new(directory)?;
        let flags = ConfigFlags {
            admin: self.admin.clone(),
            admin_token_file: self.token_file.clone(),
            ..ConfigFlags::default()
        };
        let config = Config::load(&flags)?;
        if let Some(address) = config.admin_url() {
            let token = crate::server::read_token(&config)?;
            let server = Arc::new(AdminServer { address, token, ca: self.admin_ca.or(config.admin_ca) });
            let (followed, handler) = (Arc::clone(&server), Project::read(&bench.directory)?.handler()?);
            let lines = thread::Builder::new().name("dev-lines".to_owned());
            lines.spawn(move || deploy::follow_lines(&followed, handler))?;
            bench.follow(&server);
        }
        let first = bench.first();
        let flags = bench.own_server(self.listen, &first)?;
        let config = Config::load(&flags)?;
        let address = config.admin_url().context("its own server has an admin API")?;
        let server = AdminServer { address, token: None, ca: None };
        thread::Builder::new().name("dev".to_owned()).spawn(move || {
            // The file may be another than the one that was active when the last server ended.
            deploy::once_up(&server, &first, START_MAX);
            bench.follow(&server);
        })?;
        crate::server::run(&flags)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A project that is built again and again.
struct Workbench {
    directory: PathBuf,
    admission: Admission,
    sources: Sources,
    /// The mask of new files as it was at the start: the server has a stricter one.
    mask: Mode,
}

impl Workbench {
    fn new(directory: PathBuf) -> anyhow::Result<Self> {
        // A manifest that cannot be read ends the command now; later it is reported and waits for the next save.
        Project::read(&directory)?;
        let mask = umask(Mode::empty());
        umask(mask);
        let limits = Config::load(&ConfigFlags::default())?.limits.handlers();
        let cache = directory.join(STATE).join("cache");
        let sandbox = Arc::new(Sandbox::new(&limits.sandbox, Some(&cache))?);
        let admission = Admission::new(sandbox, limits.admission);
        Ok(Self { sources: Sources::new(&directory), directory, admission, mask })
    }

    /// Waits for the first version that is good.
    fn first(&mut self) -> Build {
        loop {
            self.sources.wait();
            if let Some(build) = self.build() {
                return build;
            }
        }
    }

    /// Deploys each version that is good, for ever.
    fn follow(&mut self, server: &AdminServer) -> ! {
        loop {
            let saved = self.sources.wait();
            if let Some(build) = self.build() {
                deploy::deploy(server, &build, saved);
            }
        }
    }

    /// Builds the project and checks the result. None: something failed, and has been reported.
    fn build(&mut self) -> Option<Build> {
        let built = Project::read(&self.directory).and_then(|project| {
            self.sources.watch(&project);
            self.run(&project.build)?;
            project.result(&self.directory)
        });
        let build = match built {
            Ok(build) => build,
            Err(error) => {
                report(&format!("{error:#}"));
                return None;
            }
        };
        report(&format!("checking {}", kibibytes(build.wasm.len())));
        let checked = self.admission.check(build.handler, build.wasm.clone(), &build.settings, build.cases.clone());
        match checked {
            Ok(_) => Some(build),
            Err(error) => {
                report(&format!("rejected at the check `{}`; the active version is unchanged", error.stage));
                error.reasons.iter().for_each(|reason| eprintln!("  {reason}"));
                None
            }
        }
    }

    /// Runs the build command. Its output goes to this terminal.
    fn run(&self, command: &str) -> anyhow::Result<()> {
        report(command);
        let begun = Instant::now();
        let script = format!("umask {:03o}\n{command}", self.mask.bits());
        let status = Command::new("sh").arg("-c").arg(script).current_dir(&self.directory).status();
        let status = status.context("cannot run sh")?;
        anyhow::ensure!(status.success(), "the build failed; the active version is unchanged");
        report(&format!("built in {:.1} s", begun.elapsed().as_secs_f64()));
        Ok(())
    }

    /// The flags of a server that begins with this version.
    fn own_server(&self, listen: Option<String>, first: &Build) -> anyhow::Result<ConfigFlags> {
        let state = self.directory.join(STATE);
        let handlers = state.join("handlers");
        fs::create_dir_all(&handlers).with_context(|| format!("cannot create {}", handlers.display()))?;
        place(&handlers.join(first.handler.file_name()), &first.wasm)?;
        let others = ondol_host_handlers::HandlerKind::ALL.into_iter().filter(|handler| *handler != first.handler);
        let text = |path: &Path| path.display().to_string();
        let setting = |(key, value): (&String, &String)| format!("{}.{key}={value}", first.handler);
        Ok(ConfigFlags {
            listen,
            data: Some(text(&state)),
            handlers: Some(text(&handlers)),
            admin: Some(format!("unix:{}", text(&state.join("admin.sock")))),
            failures: others.map(|handler| format!("{handler}=default")).collect(),
            settings: first.settings.iter().map(setting).collect(),
            log: Some(LOG.to_owned()),
            // Its author is the one who notices.
            limits: vec!["probation_ms=0".to_owned()],
            ..ConfigFlags::default()
        })
    }
}

fn place(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let beside = file.with_extension("new");
    let placed = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, file));
    placed.with_context(|| format!("cannot write {}", file.display()))
}

/// A line of this command, between those of the build and the server.
fn report(line: &str) {
    eprintln!("ondol dev: {line}");
}
