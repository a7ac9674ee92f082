//! A running server: the real binary, in directories of its own, on a port of its own. Knows its startup line, its log
//! and its signals. It is killed when the story ends, and its log is printed, which the test runner shows for a failed
//! story.

mod hand_over;
mod store;

use std::{
    fmt::Display,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};

use anyhow::{Context, Result, ensure};
use ondol_engines::{free_address, until_stopped};
use serde_json::{Value, json};

use crate::{
    client::{Client, Knock},
    deadline::until,
    handlers,
    http::{Answer, Request},
    log::Log,
    process::{address_in, come_up, spawn},
    raw::RawSocket,
    setup::{Home, Setup},
    system,
    user::User,
};

/// A server of a story.
#[derive(Debug)]
pub struct TestServer {
    process: Child,
    address: String,
    startup: String,
    log: Log,
    setup: Setup,
    home: Home,
}

impl TestServer {
    /// Starts one with the default configuration.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start() -> Result<Self> {
        Setup::default().start().await
    }

    /// The setup of one.
    #[must_use]
    pub fn setup() -> Setup {
        Setup::default()
    }

    pub(crate) async fn launch(setup: Setup, home: Home, meddling: impl FnOnce(&Home) -> Result<()>) -> Result<Self> {
        let listen = setup.listen.clone().unwrap_or_else(free_address);
        let process = spawn(&listen, &setup, &home)?;
        let meddled = meddling(&home);
        let (process, startup, log) = come_up(process).await?;
        let server = Self { process, address: address_in(&startup)?, startup, log, setup, home };
        meddled.map(|()| server)
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The line that it printed when it was ready.
    #[must_use]
    pub fn startup(&self) -> &str {
        &self.startup
    }

    /// The id of the process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    // ── chat ──

    /// Creates a room without a post, and returns its id.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_room(&self, name: &str) -> Result<u64> {
        let answer = self.post("/chat/v1/create-room/", &json!({"name": name})).await?;
        answer.expect(201)?["id"].as_u64().with_context(|| format!("no id in {answer}"))
    }

    /// Joins a room with the first tab of a user, and waits for the user's own join.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn join(&self, room: u64, user: impl Into<User>) -> Result<Client> {
        let user = user.into();
        let mut client = self.open_tab(room, &user).await?;
        client.await_join(&user.nickname).await?;
        Ok(client)
    }

    /// Opens another tab of a user, which is not announced.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn open_tab(&self, room: u64, user: impl Into<User>) -> Result<Client> {
        Client::open(&self.address, room, &user.into()).await
    }

    /// Tries a handshake with this target and these headers.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn knock(&self, target: &str, headers: &[(&str, &str)]) -> Result<Knock> {
        Client::knock(&self.address, target, "the caller", headers).await
    }

    /// A bare connection.
    ///
    /// # Errors
    /// When the server does not listen.
    pub async fn raw(&self) -> Result<RawSocket> {
        RawSocket::connect(&self.address).await
    }

    // ── HTTP ──

    /// A request to build.
    #[must_use]
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(&self.address, method, target)
    }

    /// Gets a target.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, target: &str) -> Result<Answer> {
        self.request("GET", target).send().await
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, target: &str, body: &Value) -> Result<Answer> {
        self.request("POST", target).json(body.to_string()).send().await
    }

    // ── handlers ──

    /// The directory that it watches.
    #[must_use]
    pub fn handlers(&self) -> PathBuf {
        self.home.handlers()
    }

    /// Deploys a component by its file, waits until it is active, and returns its version.
    ///
    /// # Errors
    /// When it is not active in time.
    pub async fn deploy(&self, handler: &str, file: impl AsRef<Path>) -> Result<String> {
        let bytes = handlers::read(file.as_ref())?;
        let mark = self.log.mark();
        handlers::place(&self.handlers(), handler, &bytes)?;
        self.active_since(mark, handler).await
    }

    /// Waits until a version of `handler` has become active since `mark`, and returns it.
    ///
    /// # Errors
    /// When none did in time.
    pub async fn active_since(&self, mark: usize, handler: &str) -> Result<String> {
        let named = format!("handler={handler}");
        let line = self.log.line_since(mark, &["activated (release", &named]).await?;
        let version = line.split("version=").nth(1).map(|rest| rest.chars().take(12).collect::<String>());
        let version = version.with_context(|| format!("no version in {line}"))?;
        ensure!(version.len() == 12 && version.chars().all(|c| c.is_ascii_hexdigit()), "no version in {line}");
        Ok(version)
    }

    /// Places bytes that the server has to reject, and returns the line of the log.
    ///
    /// # Errors
    /// When there is no such line.
    pub async fn deploy_rejected(&self, handler: &str, bytes: &[u8]) -> Result<String> {
        let mark = self.log.mark();
        handlers::place(&self.handlers(), handler, bytes)?;
        self.log.line_since(mark, &["rejected, keeping", &format!("handler={handler}")]).await
    }

    // ── the admin API ──

    /// The address of the admin API, as `--admin` expects it. Set up with [`Setup::admin`].
    ///
    /// # Errors
    /// When it has none.
    pub fn admin_address(&self) -> Result<&str> {
        let address = self.startup.split(" admin=").nth(1).context("no admin API")?;
        Ok(address.trim())
    }

    /// A request to the admin API, which has to be on a port.
    ///
    /// # Errors
    /// When it has none there.
    pub fn admin(&self, method: &str, target: &str) -> Result<Request> {
        let address = self.admin_address()?.strip_prefix("http://").context("it is on no port")?;
        Ok(Request::new(address, method, target))
    }

    /// Deploys a component by the admin API.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn upload(&self, handler: &str, file: impl AsRef<Path>) -> Result<Answer> {
        let bytes = handlers::read(file.as_ref())?;
        self.admin("POST", &format!("/v1/handlers/{handler}"))?.body("application/wasm", bytes).send().await
    }

    /// The log so far.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits for a line of the log, from the start on, that contains `part`.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn wait_for_log(&self, part: &str) -> Result<String> {
        self.log.line_since(0, &[part]).await
    }

    /// Starts to read the log of a server that was set up with [`Setup::stalls_its_log`].
    ///
    /// # Errors
    /// When there is none.
    pub fn read_stalled_log(&mut self) -> Result<()> {
        self.log = Log::follow(File::open(self.home.root().join("log"))?);
        Ok(())
    }

    /// The config file, for a story that changes it.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.home.config()
    }

    /// Sends a signal by its short name: `TERM`, `INT`, `HUP`, `KILL`.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status()?;
        ensure!(status.success(), "no process to send {name} to");
        if name == "STOP" {
            until_stopped(self.pid());
        }
        Ok(())
    }

    /// The resident memory of the process, in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn memory(&self) -> Result<u64> {
        Ok(system::status(self.pid(), "VmRSS")? * 1_024)
    }

    /// Starts a second server on the same data, and waits for its end. Returns its exit status and its log.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn start_another(&self) -> Result<(Option<i32>, String)> {
        let mut other = spawn(&free_address(), &self.setup, &self.home)?;
        let log = Log::follow(other.stderr.take().context("no standard error")?);
        let ended = until("the second server's end", async || other.try_wait().ok().flatten()).await;
        let _ = other.kill();
        other.wait()?;
        log.end().await?;
        Ok((ended?.code(), log.since(0).join("\n")))
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn exit(&mut self) -> Result<ExitStatus> {
        let process = &mut self.process;
        until("the server's end", async || process.try_wait().ok().flatten()).await
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Kills the process, and restarts it on the same data and the same port. All its writes remain: only a power cut
    /// loses unsynced ones, which takes a [disk](crate::disk) that can lose its power.
    ///
    /// # Errors
    /// When it does not start again.
    pub async fn restart(&mut self) -> Result<()> {
        let _ = self.process.kill();
        self.process.wait()?;
        self.start_again(&self.address.clone()).await
    }

    /// The same on another port, and calls `meanwhile` while no server runs: it may take so long that another process has
    /// the old port by then.
    ///
    /// # Errors
    /// When it does not start again, or `meanwhile` fails.
    pub async fn restart_after(&mut self, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
        let _ = self.process.kill();
        self.process.wait()?;
        meanwhile()?;
        self.start_again(&free_address()).await
    }

    /// Kills the process if it still runs, and restarts it on the same data, on another port and with another value of
    /// an environment variable.
    ///
    /// # Errors
    /// When it does not start again.
    pub async fn restart_with(&mut self, name: &str, value: impl Display) -> Result<()> {
        let _ = self.process.kill();
        self.process.wait()?;
        self.setup.environment.retain(|(known, _)| known != name);
        self.setup.environment.push((name.into(), value.to_string()));
        self.start_again(&free_address()).await
    }

    async fn start_again(&mut self, listen: &str) -> Result<()> {
        let log = self.log.since(0).join("\n");
        eprintln!("── log of the server at {} before its restart ──\n{log}", self.address);
        let (process, startup, log) = come_up(spawn(listen, &self.setup, &self.home)?).await?;
        (self.process, self.address, self.startup, self.log) = (process, address_in(&startup)?, startup, log);
        Ok(())
    }

    /// The directory that contains the directories of the server.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.home.root()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        eprintln!("── log of the server at {} ──\n{}", self.address, self.log.since(0).join("\n"));
    }
}
