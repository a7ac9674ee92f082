//! nginx as docs/installing.md puts it in front of the server: with TLS and passwords. `real_gateways` has it with tokens.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt as _,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use data_encoding::BASE64;
use ondol_tests::{
    Client, Request, TestResult, TestServer, client::Knock, command::is_installed, handlers::workspace, log::Log,
    tls::Authority, until,
};
use serde_json::json;
use tempfile::TempDir;

/// nginx while it runs.
struct Nginx {
    process: Child,
    log: Log,
    address: String,
    _home: TempDir,
}

impl Nginx {
    /// Starts it with the shipped file, in which the paths and the ports are replaced.
    async fn start(upstream: &str, authority: &Authority) -> TestResult<Self> {
        let home = TempDir::with_prefix("ondol-nginx-")?;
        authority.issue()?.place(home.path(), "tls")?;
        let hash = Command::new("openssl").args(["passwd", "-apr1", "secret"]).output()?;
        fs::write(home.path().join("users"), format!("minji:{}", String::from_utf8(hash.stdout)?))?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut config = fs::read_to_string(workspace().join("deploy/gateways/nginx/basic.conf"))?;
        for (part, instead) in [
            ("server 127.0.0.1:8000;", format!("server {upstream};")),
            ("listen 443 ssl http2;", format!("listen {address} ssl http2;")),
            ("/etc/nginx/ondol/fullchain.pem", "tls.pem".to_owned()),
            ("/etc/nginx/ondol/privkey.pem", "tls.key".to_owned()),
            ("/etc/nginx/ondol/users", "users".to_owned()),
        ] {
            ensure!(config.matches(part).count() == 1, "basic.conf must have {part:?} once");
            config = config.replace(part, &instead);
        }
        // A worker of root's nginx would be another user, who cannot read the directory.
        let user = if fs::metadata(home.path())?.uid() == 0 { "user root;" } else { "" };
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {of};"));
        let around = format!(
            "{user} daemon off; pid nginx.pid; error_log stderr info; events {{}}\nhttp {{ access_log off; {}\n{config} }}",
            temporary.join(" ")
        );
        fs::write(home.path().join("nginx.conf"), around)?;
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(home.path()).arg("-c").arg(home.path().join("nginx.conf")).args(["-e", "stderr"]);
        let mut process = nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let log = Log::follow(process.stderr.take().context("no standard error")?);
        let running = Self { process, log, address, _home: home };
        let pid_file = running._home.path().join("nginx.pid");
        let listens = async || fs::read_to_string(&pid_file).ok().filter(|pid| !pid.trim().is_empty());
        until("nginx", listens).await.with_context(|| running.log.since(0).join("\n"))?;
        Ok(running)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it when it is asked to.
        let _ = ondol_tests::system::signal(self.process.id(), "TERM");
        let _ = self.process.wait();
        eprintln!("── log of nginx ──\n{}", self.log.since(0).join("\n"));
    }
}

#[tokio::test]
async fn passwords_and_tls_in_front_of_the_server_make_an_identity() -> TestResult {
    if !is_installed("nginx")? || !is_installed("openssl")? {
        return Ok(());
    }
    let server = TestServer::setup().config("public_url = \"https://chat.example.com\"").start().await?;
    let authority = Authority::new()?;
    let nginx = Nginx::start(server.address(), &authority).await?;
    let address = authority.tunnel(&nginx.address).await?;
    let password = format!("Basic {}", BASE64.encode(b"minji:secret"));
    let create = || Request::new(&address, "POST", "/chat/v1/create-room/").json(json!({"name": "lobby"}).to_string());
    assert_eq!(create().send().await?.status, 401);
    let room = create().header("Authorization", &password).send().await?;
    assert_eq!(room.expect(201)?["owner"], "minji");

    let headers = [("Authorization", &*password), ("X-User-ID", "eve"), ("X-Nickname", "eve")];
    let open = async |target: &str| Client::knock(&address, target, "minji", &headers).await;
    let mut minji = open("/ws/chat/1/chat/").await?.opened()?;
    minji.say("안녕하세요!").await?;
    assert_eq!(minji.expect_message("안녕하세요!").await?["sender"], "minji@example.com");
    match open("/ws/chat/1/chat/?user_id=eve").await? {
        Knock::Out(answer) => assert_eq!(answer.status, 401),
        Knock::In(_) => panic!("eve came in by the query"),
    }
    Ok(())
}
