//! Spring Cloud Gateway with `deploy/gateways/spring`: the shipped jar, with its settings in the environment.

use std::{
    env,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::{AUDIENCE, COOKIE, Gateway, ISSUER, Kind, Timing};
use crate::{handlers::workspace, log::Log, signing::key_file};

/// Gateways at once: each is a Java virtual machine.
static TURNS: Semaphore = Semaphore::const_new(2);

/// The start is most of its work here.
const FLAGS: [&str; 4] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m", "-jar"];

const CLIENT: &str = "SPRING_CLOUD_GATEWAY_SERVER_WEBFLUX_HTTPCLIENT";

pub(super) async fn start(story: &str, upstream: &str, timing: Timing) -> Result<Option<Gateway>> {
    let jar = workspace().join("deploy/gateways/spring/target/ondol-gateway.jar");
    if let Some(missing) = missing(&jar) {
        ensure!(env::var_os("CI").is_none(), "{story}: {missing}, and CI is set");
        eprintln!("skipped: {story}: {missing}");
        return Ok(None);
    }
    let turn = TURNS.acquire().await?;
    let home = TempDir::with_prefix("ondol-spring-")?;
    let mut command = Command::new("java");
    command.arg(format!("-Djava.io.tmpdir={}", home.path().display())).args(FLAGS).arg(&jar);
    command.envs(settings(upstream, timing)).current_dir(home.path()).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().context("java does not start")?;
    let log = Log::follow(process.stdout.take().context("no standard output")?);
    let mut gateway =
        Gateway { kind: Kind::Spring, address: String::new(), process, log, _home: home, _turn: Some(turn) };
    come_up(&mut gateway).await?;
    Ok(Some(gateway))
}

/// Waits until it is started, and for longer than for anything else: it is the work of several seconds on a machine that
/// has nothing else to do.
async fn come_up(gateway: &mut Gateway) -> Result<()> {
    let mut started = gateway.log.line_since(0, &["Started OndolGateway"]).await;
    for _ in 0..4 {
        if started.is_ok() || gateway.process.try_wait()?.is_some() {
            break;
        }
        started = gateway.log.line_since(0, &["Started OndolGateway"]).await;
    }
    started?;
    let line = gateway.log.line_since(0, &["Netty started on port "]).await?;
    let port = line.split("on port ").nth(1).and_then(|rest| rest.split(' ').next());
    gateway.address = format!("127.0.0.1:{}", port.with_context(|| format!("no port in {line}"))?);
    Ok(())
}

/// What a machine lacks to run it.
fn missing(jar: &Path) -> Option<String> {
    let paths = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&paths).any(|place| place.join("java").is_file()) {
        return Some("no java on PATH".to_owned());
    }
    (!jar.is_file()).then(|| "no jar: `mvn package` in deploy/gateways/spring builds it".to_owned())
}

fn settings(upstream: &str, timing: Timing) -> Vec<(String, String)> {
    let key = |name: &str| key_file(name).display().to_string();
    let (secret, rsa, elliptic) = (key("hs256.secret"), key("rs256.pem"), key("es256.pem"));
    [
        ("GATEWAY_PORT", "0".to_owned()),
        ("LOGGING_LEVEL_ONDOL", "debug".to_owned()),
        ("GATEWAY_UPSTREAM", format!("http://{upstream}")),
        ("GATEWAY_TOKEN_KEYS", format!("h=HS256:{secret},r=RS256:{rsa},e=ES256:{elliptic}")),
        ("GATEWAY_TOKEN_ISSUER", ISSUER.to_owned()),
        ("GATEWAY_TOKEN_AUDIENCE", AUDIENCE.to_owned()),
        ("GATEWAY_TOKEN_COOKIE", COOKIE.to_owned()),
        (&format!("{CLIENT}_POOL_MAXIDLETIME"), format!("{}ms", timing.pool_idle.as_millis())),
        (&format!("{CLIENT}_RESPONSETIMEOUT"), format!("{}ms", timing.read_timeout.as_millis())),
        ("SERVER_NETTY_IDLETIMEOUT", format!("{}ms", timing.read_timeout.as_millis())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}
