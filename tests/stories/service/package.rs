//! The Debian package, in a Debian without systemd: installed, upgraded over running data, taken back, removed and purged.

use std::{fs, os::unix::fs::MetadataExt as _, process::Child};

use anyhow::{Context as _, ensure};
use ondol_tests::{Request, TestResult, debian, debian::Debian, log::Log, system, until};
use serde_json::json;

/// What the unit makes before a start.
const RUNTIME_DIRECTORY: &str = "install -d -o ondol -g ondol -m 750 /run/ondol";

/// The server as the unit starts it, in a Debian.
struct Running {
    process: Child,
    log: Log,
    address: String,
}

impl Running {
    async fn start(debian: &Debian) -> TestResult<Self> {
        let unit = fs::read_to_string(debian.path("/usr/lib/systemd/system/ondol.service"))?;
        let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).context("no ExecStart")?;
        let script = format!(
            "cd /var/lib/ondol && ONDOL_LISTEN=127.0.0.1:0 ONDOL_DRAIN_MS=0 exec setpriv --reuid=ondol --regid=ondol --clear-groups {start}"
        );
        let mut process = debian.spawn(&script)?;
        let log = Log::follow(process.stderr.take().context("no standard error")?);
        let output = Log::follow(process.stdout.take().context("no standard output")?);
        let line = output.line_since(0, &["listening on http"]).await;
        let line = line.with_context(|| log.since(0).join("\n"))?;
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).context("no address")?;
        Ok(Self { address: address.to_owned(), process, log })
    }

    async fn stop(mut self) -> TestResult {
        // unshare, sh, chroot and setpriv have replaced themselves.
        system::signal(self.process.id(), "TERM")?;
        let ended = until("the end", async || self.process.try_wait().ok().flatten()).await?;
        ensure!(ended.success(), "{ended}:\n{}", self.log.since(0).join("\n"));
        Ok(())
    }

    async fn say(&self, text: &str) -> TestResult {
        let request = Request::new(&self.address, "POST", "/chat/v1/message/").identity("ann");
        request.json(json!({"room": 1, "message": text}).to_string()).send().await?.expect(201)?;
        Ok(())
    }

    async fn heard(&self) -> TestResult<Vec<String>> {
        let page = Request::new(&self.address, "GET", "/chat/v1/room/1/messages/?after=0").send().await?.expect(200)?;
        let page = page.as_array().context("no page")?;
        Ok(page.iter().filter_map(|message| message["message"].as_str().map(str::to_owned)).collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn the_package_is_installed_upgraded_taken_back_and_purged() -> TestResult {
    let Some(debian) = Debian::start("the_package_is_installed_upgraded_taken_back_and_purged")? else { return Ok(()) };
    for (version, file) in [("0.1.0-1", "/ondol.deb"), ("0.1.1-1", "/next.deb")] {
        debian::package(version, &debian.path(file))?;
    }
    debian.run("dpkg --force-unsafe-io -i /ondol.deb")?;
    let toml = "/etc/ondol/ondol.toml";
    assert_eq!(debian.run(&format!("stat -c '%U:%G %a' {toml} /var/lib/ondol"))?, "root:ondol 640\nondol:ondol 700\n");
    for wanted in ["multi-user.target.wants/ondol.service", "sockets.target.wants/ondol.socket"] {
        debian.run(&format!("readlink /etc/systemd/system/{wanted}"))?;
    }
    for page in ["man/man1/ondol-serve.1.gz", "bash-completion/completions/ondol", "zsh/vendor-completions/_ondol"] {
        assert!(fs::metadata(debian.path(&format!("/usr/share/{page}")))?.len() > 500, "{page}");
    }
    debian.run(RUNTIME_DIRECTORY)?;
    debian.run(&format!("setpriv --reuid=ondol --regid=ondol --clear-groups ondol check --config {toml}"))?;

    let server = Running::start(&debian).await?;
    let create = Request::new(&server.address, "POST", "/chat/v1/create-room/").json(r#"{"name":"온돌방"}"#);
    create.send().await?.expect(201)?;
    server.say("before").await?;
    let status = format!("ondol handlers status --config {toml}");
    debian.run(&status)?;

    // The operator's own configuration stays.
    debian.run(&format!("echo '# mine' >> {toml}"))?;
    debian.run("dpkg --force-unsafe-io -i /next.deb")?;
    server.say("meanwhile").await?;
    server.stop().await?;
    let server = Running::start(&debian).await?;
    server.say("after").await?;
    assert!(debian.run(&format!("dpkg-query -W ondol; tail -n1 {toml}"))?.ends_with("0.1.1-1\n# mine\n"));

    debian.run("dpkg --force-unsafe-io -i /ondol.deb")?;
    server.stop().await?;
    let server = Running::start(&debian).await?;
    assert_eq!(server.heard().await?, ["before", "meanwhile", "after"]);
    assert!(debian.run("dpkg-query -W ondol")?.ends_with("0.1.0-1\n"));
    server.stop().await?;

    debian.run("dpkg --force-unsafe-io -r ondol")?;
    assert!(!debian.path("/usr/bin/ondol").exists());
    assert!(fs::metadata(debian.path("/var/lib/ondol/ondol.db"))?.size() > 0, "a removal keeps the data");
    assert!(debian.path(toml).exists());
    debian.run("dpkg --purge ondol")?;
    for path in
        ["/var/lib/ondol", "/etc/ondol", "/usr/lib/ondol", "/etc/systemd/system/multi-user.target.wants/ondol.service"]
    {
        assert!(fs::symlink_metadata(debian.path(path)).is_err(), "{path} is left");
    }
    debian.run("! getent passwd ondol")?;
    Ok(())
}
