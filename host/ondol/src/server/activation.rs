//! Sockets that a supervisor has opened and passes to the server (sd_listen_fds(3)). It keeps them over a restart, so that
//! connections wait for the next server instead of being refused.

use std::fs;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use crate::config::{AdminAddress, Config};

/// The descriptor of the first one.
const FIRST: usize = 3;

/// The sockets, by what they are for.
#[derive(Default)]
pub(super) struct Sockets {
    pub(super) public: Option<TcpListener>,
    pub(super) admin: Option<AdminSocket>,
    pub(super) metrics: Option<TcpListener>,
}

/// A socket for the admin API.
pub(super) enum AdminSocket {
    Tcp(TcpListener),
    /// With its path.
    Unix(UnixListener, PathBuf),
}

/// Which of them there are.
#[derive(Clone, Copy)]
pub(super) struct Passed {
    public: bool,
    admin: bool,
    metrics: bool,
}

impl Passed {
    /// Keeps the addresses of these sockets in a configuration that was read again.
    pub(super) fn keep(self, given: &mut Config, running: &Config) {
        if self.public {
            given.listen = running.listen;
        }
        if self.admin {
            given.admin.clone_from(&running.admin);
        }
        if self.metrics {
            given.metrics = running.metrics;
        }
    }
}

impl Sockets {
    pub(super) fn passed(&self) -> Passed {
        Passed { public: self.public.is_some(), admin: self.admin.is_some(), metrics: self.metrics.is_some() }
    }

    /// Takes the sockets with these names. Once in a process, before it has other threads: it removes the variables.
    ///
    /// # Errors
    ///
    /// When one is not what its name says.
    pub(super) fn take(names: &[String]) -> anyhow::Result<Self> {
        let mut sockets = Self::default();
        if names.is_empty() {
            return Ok(sockets);
        }
        let mut passed = ListenFd::from_env();
        for (index, name) in names.iter().enumerate() {
            let what = || format!("socket activation: the socket {name} (descriptor {})", FIRST + index);
            let is_second = match name.as_str() {
                "public" => sockets.public.replace(tcp(&mut passed, index).with_context(what)?).is_some(),
                "admin" => sockets.admin.replace(admin(&mut passed, index).with_context(what)?).is_some(),
                "metrics" => sockets.metrics.replace(tcp(&mut passed, index).with_context(what)?).is_some(),
                _ => bail!("{} has no known name: set FileDescriptorName to public, admin or metrics", what()),
            };
            ensure!(!is_second, "{} is the second one of this name: the server takes one", what());
        }
        Ok(sockets)
    }

    /// The configuration with the addresses of the sockets in place of its own.
    ///
    /// # Errors
    ///
    /// When an address needs settings that are not there.
    pub(super) fn applied_to(&self, config: &Config) -> anyhow::Result<Config> {
        let mut config = config.clone();
        if let Some(public) = &self.public {
            config = config.listening_at(public.local_addr()?)?;
        }
        if let Some(metrics) = &self.metrics {
            config.metrics = Some(metrics.local_addr()?);
        }
        match &self.admin {
            None => {}
            Some(AdminSocket::Tcp(tcp)) => {
                let address = tcp.local_addr()?;
                let tls = config.admin_tls().is_some();
                config.admin = Some(if tls { AdminAddress::https(address) } else { AdminAddress::Tcp(address) });
            }
            Some(AdminSocket::Unix(_, path)) => {
                ensure!(config.admin_tls().is_none(), "admin_tls_certificate is for a port: a Unix socket was passed");
                let has_token = config.admin_token.is_some() || config.admin_token_file.is_some();
                let mode = fs::metadata(path).with_context(|| format!("the admin socket {}", path.display()))?;
                let mode = mode.permissions().mode() & 0o777;
                ensure!(
                    has_token || mode & 0o007 == 0,
                    "every user of this machine can open the admin socket {} (mode {mode:04o}): set SocketMode=0600, or a token",
                    path.display()
                );
                config.admin = Some(AdminAddress::Unix(path.clone()));
            }
        }
        Ok(config)
    }
}

fn admin(passed: &mut ListenFd, index: usize) -> anyhow::Result<AdminSocket> {
    match passed.take_unix_listener(index) {
        Ok(Some(unix)) => {
            let unix = listening(unix)?;
            unix.set_nonblocking(true)?;
            let path = unix.local_addr()?.as_pathname().map(PathBuf::from);
            Ok(AdminSocket::Unix(unix, path.context("it has no path: every user of this machine could open it")?))
        }
        _ => Ok(AdminSocket::Tcp(tcp(passed, index)?)),
    }
}

fn tcp(passed: &mut ListenFd, index: usize) -> anyhow::Result<TcpListener> {
    let tcp = passed.take_tcp_listener(index).ok().flatten().context("is not a TCP stream socket")?;
    tcp.set_nonblocking(true)?;
    listening(tcp)
}

fn listening<S: AsFd>(socket: S) -> anyhow::Result<S> {
    ensure!(socket_acceptconn(&socket)?, "does not listen");
    Ok(socket)
}
