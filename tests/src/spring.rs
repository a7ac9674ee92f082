//! The Spring gateway of `deploy/gateways/spring`, in front of a server. Knows its jar, its settings and its startup line.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{handlers::workspace, log::Log, signing::key_file};

/// Gateways at once: each is a Java virtual machine.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Starts sooner, and takes less memory than the machine has.
const FLAGS: [&str; 4] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-jar"];

/// A running gateway, which takes tokens of the tests' ES256 key. Killed when the story ends.
#[derive(Debug)]
pub struct Spring {
    process: Child,
    address: String,
    log: Log,
    _turn: SemaphorePermit<'static>,
}

impl Spring {
    /// Starts one in front of the server at `upstream` (host and port), with these environment variables. None where Java
    /// or the jar is missing: then `story` is named as skipped, except under CI, where that is an error.
    ///
    /// # Errors
    /// When it does not start, or is missing where it must not be.
    pub async fn start(story: &str, upstream: &str, settings: &[(&str, &str)]) -> Result<Option<Self>> {
        let jar = workspace().join("deploy/gateways/spring/target/ondol-gateway.jar");
        if let Some(missing) = missing(&jar) {
            ensure!(env::var_os("CI").is_none(), "{story}: {missing}, and CI is set");
            eprintln!("skipped: {story}: {missing}");
            return Ok(None);
        }
        let turn = TURNS.acquire().await?;
        let mut command = Command::new("java");
        command.args(FLAGS).arg(&jar).env("GATEWAY_PORT", "0").env("GATEWAY_UPSTREAM", format!("http://{upstream}"));
        command.env("GATEWAY_TOKEN_KEYS", format!("e=ES256:{}", key_file("es256.pem").display()));
        command.env("GATEWAY_TOKEN_COOKIE", "session").envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().context("java does not start")?;
        let log = Log::follow(process.stdout.take().context("no standard output")?);
        let mut spring = Self { process, address: String::new(), log, _turn: turn };
        let line = spring.log.line_since(0, &["Netty started on port "]).await?;
        let port = line.split("on port ").nth(1).and_then(|rest| rest.split(' ').next());
        spring.address = format!("127.0.0.1:{}", port.with_context(|| format!("no port in {line}"))?);
        spring.log.line_since(0, &["Started OndolGateway"]).await?;
        Ok(Some(spring))
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }
}

impl Drop for Spring {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        eprintln!("── log of the gateway at {} ──\n{}", self.address, self.log.since(0).join("\n"));
    }
}

/// What a machine lacks to run the gateway.
fn missing(jar: &Path) -> Option<String> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let java = env::split_paths(&paths).map(|place: PathBuf| place.join("java")).find(|file| file.is_file());
    match (java, jar.is_file()) {
        (None, _) => Some("java is not installed".to_owned()),
        (_, false) => Some(format!("{} is not built", jar.display())),
        _ => None,
    }
}
