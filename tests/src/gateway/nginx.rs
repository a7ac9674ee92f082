//! nginx with `deploy/gateways/nginx`: the shipped files with a few lines replaced, unprivileged, in a directory of its own.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::{AUDIENCE, COOKIE, Gateway, ISSUER, Kind, Timing};
use crate::{deadline::until, handlers::workspace, log::Log, signing::key_file};

/// Where distributions put the module.
const MODULES: [&str; 3] = ["/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/etc/nginx/modules"];

/// Another process may take a port between its choice and its use.
const PORTS_TRIED: usize = 5;

pub(super) async fn start(story: &str, upstream: &str, timing: Timing) -> Result<Option<Gateway>> {
    let Some((program, module)) = find() else {
        ensure!(env::var_os("CI").is_none(), "{story}: no nginx with its JavaScript module, and CI is set");
        eprintln!("skipped: {story}: no nginx with its JavaScript module");
        return Ok(None);
    };
    let mut why = String::new();
    for _ in 0..PORTS_TRIED {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        match run(&program, furnish(&module, &address, upstream, timing)?, address).await {
            Ok(gateway) => return Ok(Some(gateway)),
            Err(error) => why = format!("{error:#}"),
        }
        if !why.contains("Address already in use") {
            break;
        }
    }
    bail!("nginx does not start: {why}")
}

fn find() -> Option<(PathBuf, PathBuf)> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let program = places.find_map(|place| Some(place.join("nginx")).filter(|file| file.is_file()))?;
    let modules = MODULES.iter().map(|place| Path::new(place).join("ngx_http_js_module.so"));
    Some((program, modules.into_iter().find(|file| file.is_file())?))
}

/// Writes the directory of one.
fn furnish(module: &Path, address: &str, upstream: &str, timing: Timing) -> Result<TempDir> {
    let home = TempDir::with_prefix("ondol-nginx-")?;
    let shipped = workspace().join("deploy/gateways/nginx");
    fs::create_dir(home.path().join("ondol"))?;
    fs::copy(shipped.join("ondol.js"), home.path().join("ondol/ondol.js"))?;

    let key = |name: &str| key_file(name).canonicalize().map(|file| file.display().to_string());
    let (secret, rsa, elliptic) = (key("hs256.secret")?, key("rs256.pem")?, key("es256.pem")?);
    let mut config = fs::read_to_string(shipped.join("ondol.conf"))?;
    for (line, instead) in [
        ("server 127.0.0.1:8000;", format!("server {upstream};")),
        ("listen 8080;", format!("listen {address};")),
        ("keepalive_timeout 60s;", format!("keepalive_timeout {}ms;", timing.pool_idle.as_millis())),
        ("proxy_read_timeout 75s;", format!("proxy_read_timeout {}ms;", timing.read_timeout.as_millis())),
        ("access_log /var/log/nginx/ondol.log ondol;", "access_log /dev/stderr ondol;".to_owned()),
        (r#""k1=HS256:/etc/nginx/ondol/jwt.secret""#, format!("h=HS256:{secret},r=RS256:{rsa},e=ES256:{elliptic}")),
        (r#"set $jwt_issuer "";"#, format!("set $jwt_issuer {ISSUER};")),
        (r#"set $jwt_audience "";"#, format!("set $jwt_audience {AUDIENCE};")),
        (r#"set $jwt_cookie "";"#, format!("set $jwt_cookie {COOKIE};")),
    ] {
        ensure!(config.matches(line).count() == 1, "ondol.conf must have {line:?} once");
        config = config.replace(line, &instead);
    }
    fs::write(home.path().join("ondol.conf"), config)?;

    // A worker of root's nginx would be another user, who cannot read the directory.
    let user = if fs::metadata(home.path())?.uid() == 0 { "user root;" } else { "" };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {of};"));
    let around = format!(
        "load_module {};\n{user}\ndaemon off;\npid nginx.pid;\nerror_log stderr info;\nworker_rlimit_nofile 4096;\n\
         events {{ worker_connections 4096; }}\nhttp {{\n{}\ninclude ondol.conf;\n}}\n",
        module.display(),
        temporary.join("\n")
    );
    fs::write(home.path().join("nginx.conf"), around)?;
    Ok(home)
}

/// Starts it, and waits until it listens.
async fn run(program: &Path, home: TempDir, address: String) -> Result<Gateway> {
    let mut command = Command::new(program);
    command.arg("-p").arg(home.path()).arg("-c").arg(home.path().join("nginx.conf")).args(["-e", "stderr"]);
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().with_context(|| format!("{}", program.display()))?;
    let log = Log::follow(process.stderr.take().context("no standard error")?);
    let pid_file = home.path().join("nginx.pid");
    // It writes the file once it listens.
    let came = until("nginx's start", async || {
        let listens = fs::read_to_string(&pid_file).is_ok_and(|pid| !pid.trim().is_empty());
        let ended = process.try_wait().ok().flatten();
        if listens { Some(Ok(())) } else { ended.map(Err) }
    })
    .await;
    let gateway = Gateway { kind: Kind::Nginx, address, process, log, _home: home, _turn: None };
    if let Err(status) = came? {
        gateway.log.end().await?;
        bail!("it ended with {status}: {}", gateway.log.since(0).join("\n"));
    }
    Ok(gateway)
}
