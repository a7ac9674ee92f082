//! The server's process: its command line, its start, and the line that it prints when it is ready.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use command_fds::{CommandFdExt, FdMapping};

use crate::{
    command::binary,
    handlers,
    log::Log,
    setup::{Home, Setup},
};

/// The host and port in a startup line.
pub(crate) fn address_in(startup: &str) -> Result<String> {
    let address = startup.split("listening on ").nth(1).and_then(|rest| rest.split(' ').next());
    let address = address.and_then(|address| address.split("://").nth(1));
    Ok(address.context("no address")?.to_owned())
}

/// Starts the process.
pub(crate) fn spawn(listen: &str, setup: &Setup, home: &Home) -> Result<Child> {
    let mut command = command(listen, setup, home);
    let mut mappings = Vec::new();
    for ((_, socket), child_fd) in setup.sockets.iter().zip(3..) {
        mappings.push(FdMapping { parent_fd: socket.try_clone()?, child_fd });
    }
    command.fd_mappings(mappings)?;
    command.spawn().context("the binary does not start")
}

/// Waits for the startup line of a process.
pub(crate) async fn come_up(mut process: Child) -> Result<(Child, String, Log)> {
    let log = Log::follow(process.stderr.take().context("no standard error")?);
    let output = Log::follow(process.stdout.take().context("no standard output")?);
    match output.line_since(0, &["listening on http"]).await {
        Ok(startup) => Ok((process, startup, log)),
        Err(error) => {
            let _ = process.kill();
            let _ = process.wait();
            let _ = log.end().await;
            bail!("{error}; the log:\n{}", log.since(0).join("\n"))
        }
    }
}

/// The command line, under a shell that sets the limits of the system first.
fn command(listen: &str, setup: &Setup, home: &Home) -> Command {
    // The most permissive umask.
    let mut before = "umask 000; ".to_owned();
    if let Some(count) = setup.open_files {
        before.push_str(&format!("ulimit -n {count}; "));
    }
    if setup.stalls_its_log {
        // The reader is a descriptor of the process itself, which never reads.
        before.push_str("mkfifo log; exec 3<>log; ");
    }
    let mut command = Command::new("sh");
    let after = match (setup.loses_its_log, setup.stalls_its_log) {
        (true, _) => " 2>/dev/full",
        (_, true) => " 2>&3",
        _ => "",
    };
    if !setup.sockets.is_empty() {
        // Only the process itself knows its id.
        before.push_str("export LISTEN_PID=$$; ");
        let names: Vec<_> = setup.sockets.iter().map(|(name, _)| name.as_str()).collect();
        command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    }
    command.args(["-c", &format!("{before}exec \"$@\"{after}"), "sh"]).args(&setup.run_by);
    command.arg(setup.binary.clone().unwrap_or_else(binary));
    command.args(["serve", "--listen", listen, "--config"]).arg(home.config());
    command.arg("--data").arg(home.data()).arg("--handlers").arg(home.handlers()).args(&setup.flags);
    command.env("ONDOL_CACHE", handlers::target().join("test-cache")).env("NO_COLOR", "1");
    if let Some(database) = home.database() {
        command.env("ONDOL_STORE", database.url());
        if database.password().is_some() {
            command.env("ONDOL_STORE_PASSWORD_FILE", home.password());
        }
    }
    command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(home.root()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
