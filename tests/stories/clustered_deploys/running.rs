//! What of the files runs without a container engine: the hosts with their settings, NATS and nginx with their files, and a host
//! as the user of a pod. Addresses and directories are the tests' own.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use ondol_engines::{Access, Database};
use ondol_tests::{
    Client, Heard, Nats, Postgres, Request, Setup, TestResult, TestServer, User,
    command::{binary, is_installed, ondol_with},
    handlers::{target, workspace},
    log::Log,
    signing, system, until,
};
use serde_json::json;
use tempfile::TempDir;

use super::{
    Environment, HOSTS, documents, environment_of, environment_of_drop_in, environment_of_pod, pod, python, shipped,
};

/// The user of the image, and its group.
const USER: u32 = 10_001;

/// A shipped file in which these parts, each there once, are replaced.
fn replaced(file: &str, parts: &[(&str, &str)]) -> TestResult<String> {
    let mut text = fs::read_to_string(shipped(file))?;
    for (part, instead) in parts {
        ensure!(text.matches(part).count() == 1, "{file} must have {part:?} once");
        text = text.replace(part, instead);
    }
    Ok(text)
}

/// Settings whose addresses and directories are replaced.
fn placed(environment: Environment, database: &Database, bus: &Nats, secrets: &Path, state: &str) -> Environment {
    let place = |(name, value): (String, String)| {
        let value = match name.as_str() {
            "ONDOL_STORE" => database.url(),
            "ONDOL_BUS" => bus.url(),
            "ONDOL_ADMIN" => format!("unix:{state}.sock"),
            "ONDOL_IDENTITY_TRUSTED" => "127.0.0.1".to_owned(),
            _ => {
                let of_pod = value.replace("/run/secrets/ondol", &secrets.display().to_string());
                of_pod.replace("/run/secrets", &secrets.display().to_string())
            }
        };
        (name, value)
    };
    environment.into_iter().map(place).collect()
}

/// The setup of a server with these settings.
fn with(environment: &Environment) -> Setup {
    environment.iter().fold(TestServer::setup(), |setup, (name, value)| setup.env(name, value))
}

/// Makes the secrets as the page says. That of the database is the one that it has.
fn make_secrets(home: &Path, database: &Database) -> TestResult {
    let page = fs::read_to_string(shipped("README.md"))?;
    let commands = page.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).context("no commands")?;
    let made = Command::new("sh").args(["-euc", commands]).current_dir(home).output()?;
    ensure!(made.status.success(), "{commands}\n{}", String::from_utf8_lossy(&made.stderr));
    Ok(fs::write(home.join("secrets/store-password"), database.password().context("no password")?)?)
}

/// The headers with a token of this user.
fn bearer(home: &Path, name: &str) -> TestResult<[(&'static str, String); 1]> {
    let secret = fs::read_to_string(home.join("secrets/jwt-secret"))?;
    let token = signing::token_of_secret(secret.trim_end().as_bytes(), &signing::claims(&User::named(name)))?;
    Ok([("Authorization", format!("Bearer {token}"))])
}

/// nginx with the shipped file, while it runs.
struct Nginx {
    process: Child,
    log: Log,
    address: String,
    home: TempDir,
}

impl Nginx {
    async fn start(hosts: &[TestServer]) -> TestResult<Self> {
        let home = TempDir::with_prefix("ondol-nginx-")?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let own = |name: &str| home.path().join(name).display().to_string();
        let upstreams = hosts.iter().map(|host| format!("server {} ", host.address())).collect::<Vec<_>>();
        let config = replaced(
            "nginx.conf",
            &[
                ("/tmp/nginx.pid", &own("pid")),
                ("/tmp/body", &own("body")),
                ("/tmp/proxy", &own("proxy")),
                ("/tmp/fastcgi", &own("fastcgi")),
                ("/tmp/uwsgi", &own("uwsgi")),
                ("/tmp/scgi", &own("scgi")),
                ("/dev/stdout", &own("access.log")),
                ("listen 8000;", &format!("listen {address};")),
                ("server 172.30.0.11:8000 ", &upstreams[0]),
                ("server 172.30.0.12:8000 ", &upstreams[1]),
                ("server 172.30.0.13:8000 ", &upstreams[2]),
            ],
        )?;
        // A worker of root's nginx would be another user, who cannot read the directory.
        let user = if fs::metadata(home.path())?.uid() == 0 { "user root;" } else { "" };
        fs::write(home.path().join("nginx.conf"), format!("{user} daemon off;\n{config}"))?;
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(home.path()).arg("-c").arg(home.path().join("nginx.conf")).args(["-e", "stderr"]);
        let mut process = nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = Log::follow(process.stderr.take().context("no standard error")?);
        let running = Self { process, log, address, home };
        let pid = running.home.path().join("pid");
        let listens = async || fs::read_to_string(&pid).ok().filter(|pid| !pid.trim().is_empty());
        until("nginx", listens).await.with_context(|| running.log.since(0).join("\n"))?;
        Ok(running)
    }

    /// Asks for a room, and returns the address of the host that has answered.
    async fn host_of(&self, room: u64, headers: &[(&str, String)]) -> TestResult<String> {
        let target = format!("/chat/v1/room/{room}/");
        let answered = format!("\"GET {target}\" 200 ");
        let file = self.home.path().join("access.log");
        let lines = || fs::read_to_string(&file).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
        let before = lines().len();
        let [(name, value)] = headers else { anyhow::bail!("no token") };
        Request::new(&self.address, "GET", &target).header(name, value).send().await?.expect(200)?;
        let line = until("a line in nginx's log", async || {
            lines().into_iter().skip(before).find(|line| line.contains(&answered))
        });
        // The last host that was tried, and the time.
        Ok(line.await?.rsplit(' ').nth(1).context("no address")?.to_owned())
    }

    /// Opens a socket in a room.
    async fn open(&self, room: u64, name: &str, headers: &[(&str, String)]) -> TestResult<Client> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Client::knock(&self.address, &format!("/ws/chat/{room}/chat/"), name, &headers).await?.opened()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it when it is asked to.
        let _ = system::signal(self.process.id(), "TERM");
        let _ = self.process.wait();
        eprintln!("── log of nginx ──\n{}", self.log.since(0).join("\n"));
    }
}

/// Waits for the end of a connection.
async fn end_of(mut client: Client) -> TestResult {
    while !matches!(client.next().await?, Heard::Gone | Heard::Close(..)) {}
    Ok(())
}

#[tokio::test]
async fn the_compose_files_hosts_are_one_chat_behind_nginx() -> TestResult {
    let Some(python) = python("the_compose_files_hosts_are_one_chat_behind_nginx", "yaml")? else { return Ok(()) };
    if !is_installed("nginx")? || !is_installed("openssl")? {
        return Ok(());
    }
    let Some(database) = Postgres::of_tests_by_password()? else { return Ok(()) };
    let home = TempDir::with_prefix("ondol-compose-")?;
    make_secrets(home.path(), &database)?;
    let users = format!("../{}/secrets/bus-users", home.path().file_name().context("no name")?.display());
    let lines = [
        ("listen: \"0.0.0.0:4222\"", ""),
        ("http: \"127.0.0.1:8222\"", ""),
        // The file is in /etc/nats there, and the secret in /run/secrets.
        ("../../run/secrets/bus-users", &users),
    ];
    let Some(bus) = Nats::start_with(&Access::Lines(replaced("nats.conf", &lines)?), None)? else { return Ok(()) };

    let compose = documents(&python, "compose.yaml")?.remove(0);
    let setup = |host: &&str| {
        let (secrets, state) = (home.path().join("secrets"), home.path().join(host).display().to_string());
        Ok(with(&placed(environment_of(&compose, host)?, &database, &bus, &secrets, &state)))
    };
    let setups = HOSTS.iter().map(setup).collect::<TestResult<Vec<_>>>()?;
    // All at once, on an empty database.
    let mut hosts = try_join_all(setups.into_iter().map(Setup::start)).await?;
    let nginx = Nginx::start(&hosts).await?;

    let create =
        || Request::new(&nginx.address, "POST", "/chat/v1/create-room/").json(json!({"name": "lobby"}).to_string());
    assert_eq!(create().send().await?.status, 401);
    let (ann, ben) = (bearer(home.path(), "ann")?, bearer(home.path(), "ben")?);
    let room =
        create().header("Authorization", &ann[0].1).send().await?.expect(201)?["id"].as_u64().context("no id")?;
    let mut at_nginx = (nginx.open(room, "ann", &ann).await?, nginx.open(room, "ben", &ben).await?);
    at_nginx.0.say("hello").await?;
    at_nginx.1.expect_message("hello").await?;
    at_nginx.0.expect_message("hello").await?;

    // Both are at the host that nginx takes for the room.
    let address = nginx.host_of(room, &ann).await?;
    let host = hosts.iter_mut().find(|host| host.address() == address).context("no such host")?;
    host.signal("KILL")?;
    host.exit().await?;
    end_of(at_nginx.0).await?;
    end_of(at_nginx.1).await?;

    // It is not listening any more: the same room, by way of another host.
    let mut ann_again = nginx.open(room, "ann", &ann).await?;
    let mut ben_again = nginx.open(room, "ben", &ben).await?;
    assert_ne!(nginx.host_of(room, &ann).await?, address);
    ann_again.say("we go on").await?;
    assert_eq!(ben_again.expect_message("we go on").await?["seq"], 2);
    Ok(())
}

#[test]
fn a_machine_with_the_drop_in_reaches_the_store_and_the_bus() -> TestResult {
    let Some(database) = Postgres::of_tests_by_password()? else { return Ok(()) };
    let access = Access::Password("ondol".into(), "a long secret".into());
    let Some(bus) = Nats::start_with(&access, None)? else { return Ok(()) };
    let home = tempfile::tempdir()?;
    fs::write(home.path().join("store-password"), database.password().context("no password")?)?;
    fs::write(home.path().join("bus-credentials"), "ondol:a long secret\n")?;
    let data = home.path().join("data");
    fs::create_dir(&data)?;
    let config = replaced(
        "ondol.toml",
        &[
            ("postgres://ondol@db-1.example.com,db-2.example.com/ondol?sslmode=require", &database.url()),
            ("tls://nats-1.example.com:4222,tls://nats-2.example.com:4222", &bus.url()),
            ("/etc/ondol/jwt.pem", &signing::key_file("rs256.pem").canonicalize()?.display().to_string()),
            ("/var/lib/ondol", &data.display().to_string()),
            ("/usr/lib/ondol/handlers", &target().join("handlers").canonicalize()?.display().to_string()),
            ("/run/ondol", &home.path().display().to_string()),
        ],
    )?;
    let file = home.path().join("ondol.toml");
    fs::write(&file, config)?;
    let check = |credentials: &Path| -> TestResult<ondol_tests::command::Output> {
        let environment = environment_of_drop_in(credentials)?;
        let environment: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        ondol_with(&["check", "--config", &file.display().to_string()], &environment)
    };
    check(home.path())?.expect_parts(0, &["fine   database", "fine   bus"])?;
    fs::write(home.path().join("bus-credentials"), "ondol:another secret\n")?;
    check(home.path())?.expect_parts(1, &["fine   database", "wrong  bus"])
}

#[tokio::test]
async fn a_host_runs_as_the_user_of_a_pod_in_its_directories() -> TestResult {
    let story = "a_host_runs_as_the_user_of_a_pod_in_its_directories";
    let Some(python) = python(story, "yaml")? else { return Ok(()) };
    let secrets = TempDir::with_prefix("ondol-pod-")?;
    if fs::metadata(secrets.path())?.uid() != 0 {
        ensure!(std::env::var_os("CI").is_none(), "{story}: it needs root, and CI is set");
        eprintln!("skipped: {story}: it needs root");
        return Ok(());
    }
    let Some(database) = Postgres::of_tests_by_password()? else { return Ok(()) };
    let access = Access::Password("ondol".into(), "a long secret".into());
    let Some(bus) = Nats::start_with(&access, None)? else { return Ok(()) };
    let (container, pod) = pod(&python)?;
    for of_pod in ["runAsUser", "runAsGroup", "fsGroup"] {
        assert_eq!(pod["securityContext"][of_pod], USER);
    }
    let dockerfile = fs::read_to_string(workspace().join("deploy/docker/Dockerfile"))?;
    assert!(dockerfile.contains(&format!("USER {USER}:{USER}")));

    // A volume of a secret: its files belong to root and to the group of the pod, with the mode of the manifest.
    let volumes = pod["volumes"].as_array().context("no volumes")?;
    let mode = volumes.iter().find_map(|volume| volume["secret"]["defaultMode"].as_u64()).context("no mode")?;
    fs::set_permissions(secrets.path(), fs::Permissions::from_mode(0o755))?;
    let key = fs::read_to_string(signing::key_file("hs256.secret"))?;
    for (name, secret) in [
        ("store-password", database.password().context("no password")?),
        ("bus-credentials", "ondol:a long secret"),
        ("jwt-secret", &key),
    ] {
        let file = secrets.path().join(name);
        fs::write(&file, secret)?;
        chown(&file, Some(0), Some(USER))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(u32::try_from(mode)?))?;
    }
    // The program, where that user may run it.
    let program = secrets.path().join("ondol");
    fs::copy(binary(), &program)?;

    let user = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--no-new-privs", "--bounding-set=-all"];
    let environment = placed(environment_of_pod(&container)?, &database, &bus, secrets.path(), "data/admin");
    let setup = with(&environment).env("ONDOL_CACHE", "data/cache").binary(&program).run_by(&user);
    let server = setup.start_after(|home| {
        let readable = Command::new("chmod").args(["-R", "go+rX"]).arg(home.root()).status()?;
        ensure!(readable.success(), "chmod fails");
        // An emptyDir of a pod with a group, in which the server makes its directory.
        chown(home.root(), Some(0), Some(USER))?;
        Ok(fs::set_permissions(home.root(), fs::Permissions::from_mode(0o2777))?)
    });
    let server = server.await?;
    server.get("/readyz").await?.expect(200)?;
    assert_eq!(fs::metadata(format!("/proc/{}", server.pid()))?.uid(), USER);
    for directory in ["data", "data/cache"] {
        let made = fs::metadata(server.root().join(directory))?;
        assert_eq!((made.uid(), made.mode() & 0o777), (USER, 0o700), "{directory}");
    }
    assert!(
        !server.log().since(0).iter().any(|line| line.contains("open to other users")),
        "{:?}",
        server.log().since(0)
    );
    Ok(())
}
