//! A NATS server.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use anyhow::Result;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    certificate::Certificate,
    guard::{Guard, signal_all},
    installed::{found, or_skip},
    ports::free_port,
};

/// Who may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Every client.
    Open,
    /// Clients with this name and password.
    Password(String, String),
    /// Clients with this token.
    Token(String),
    /// Those that these lines of a configuration let in.
    Lines(String),
}

/// A NATS server, on a port that a restart keeps.
#[derive(Debug)]
pub struct Nats {
    guard: Guard,
    port: u16,
    tls: bool,
}

impl Nats {
    /// Starts one that is open. `None` where it is not installed.
    ///
    /// # Errors
    /// When it does not start, or is not installed under CI.
    pub fn start() -> Result<Option<Self>> {
        Self::start_with(&Access::Open, None)
    }

    /// Starts one with credentials, or with TLS, which it then requires.
    ///
    /// # Errors
    /// When it does not start, or is not installed under CI.
    pub fn start_with(access: &Access, tls: Option<&Certificate>) -> Result<Option<Self>> {
        Self::start_at("127.0.0.1", access, tls)
    }

    /// The same at this address of the machine, or at all of them: `0.0.0.0`.
    ///
    /// # Errors
    /// When it does not start, or is not installed under CI.
    pub fn start_at(listen: &str, access: &Access, tls: Option<&Certificate>) -> Result<Option<Self>> {
        let program = found("nats-server", &["/usr/sbin", "/usr/local/bin"]);
        let Some(program) = or_skip(program, "nats-server")? else { return Ok(None) };
        let (directory, port) = (TempDir::with_prefix("ondol-nats-")?, free_port());
        let mut config = format!("listen: \"{listen}:{port}\"\n");
        match access {
            Access::Open => {}
            Access::Password(user, password) => {
                config.push_str(&format!("authorization {{ user: {user:?}, password: {password:?} }}\n"));
            }
            Access::Token(token) => config.push_str(&format!("authorization {{ token: {token:?} }}\n")),
            Access::Lines(lines) => config.push_str(lines),
        }
        if let Some(certificate) = tls {
            certificate.place(directory.path())?;
            config.push_str("tls { cert_file: \"server.pem\", key_file: \"server.key\" }\n");
        }
        fs::write(directory.path().join("nats.conf"), config)?;
        let command = [program.display().to_string(), "-c".into(), "nats.conf".into()];
        let mut nats = Self { guard: Guard::new(directory, "KILL", &command)?, port, tls: tls.is_some() };
        nats.start_again()?;
        Ok(Some(nats))
    }

    /// Starts it again on the same port.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        let port = self.port;
        self.guard.start(|_| greets(port))
    }

    /// Stops it as an operator does.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        self.guard.end(Signal::TERM)
    }

    /// Kills it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.guard.end(Signal::KILL)
    }

    /// Freezes it: its connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        signal_all(&[self.guard.engine()?], Signal::STOP);
        Ok(())
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        signal_all(&[self.guard.engine()?], Signal::CONT);
        Ok(())
    }

    /// Its process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.guard.engine()?.as_raw_nonzero().get().unsigned_abs())
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URL, without credentials.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "tls" } else { "nats" }, self.address())
    }

    /// The file of the authority that a client has to trust, for a server with TLS.
    #[must_use]
    pub fn authority_file(&self) -> PathBuf {
        self.guard.directory().join("ca.pem")
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.guard.log()
    }
}

/// Whether a server answers on this port, as it does before any credentials and TLS.
fn greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut line = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && BufReader::new(stream).read_line(&mut line).is_ok()
        && line.starts_with("INFO ")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// What a server answers to this first line of a client.
    fn answer(nats: &Nats, connect: &str) -> Result<String> {
        let mut stream = TcpStream::connect(nats.address())?;
        stream.set_read_timeout(Some(crate::guard::DEADLINE))?;
        writeln!(stream, "CONNECT {connect}\r\nPING\r")?;
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        Ok(lines.find(|line| !line.starts_with("INFO ")).unwrap_or_default())
    }

    #[test]
    fn a_restart_keeps_the_port() -> Result<()> {
        let Some(mut nats) = Nats::start()? else { return Ok(()) };
        let url = nats.url();
        assert_eq!(answer(&nats, "{\"verbose\":false}")?, "PONG");
        nats.stop()?;
        nats.start_again()?;
        nats.kill()?;
        nats.start_again()?;
        nats.freeze()?;
        nats.thaw()?;
        assert_eq!(answer(&nats, "{\"verbose\":false}")?, "PONG");
        assert_eq!(nats.url(), url);
        Ok(())
    }

    #[test]
    fn credentials_are_asked_for() -> Result<()> {
        let access = Access::Password("ann".into(), "p@ss \"word\"".into());
        let Some(nats) = Nats::start_with(&access, None)? else { return Ok(()) };
        let right = "{\"verbose\":false,\"user\":\"ann\",\"pass\":\"p@ss \\\"word\\\"\"}";
        assert_eq!(answer(&nats, right)?, "PONG");
        assert_eq!(answer(&nats, "{\"verbose\":false}")?, "-ERR 'Authorization Violation'");
        let Some(nats) = Nats::start_with(&Access::Token("a token".into()), None)? else { return Ok(()) };
        assert_eq!(answer(&nats, "{\"verbose\":false,\"auth_token\":\"a token\"}")?, "PONG");
        assert_eq!(answer(&nats, "{\"verbose\":false}")?, "-ERR 'Authorization Violation'");
        Ok(())
    }

    #[test]
    fn tls_is_required_where_there_is_a_certificate() -> Result<()> {
        let Some(nats) = Nats::start_with(&Access::Open, Some(&Certificate::new()?))? else { return Ok(()) };
        let mut line = String::new();
        BufReader::new(TcpStream::connect(nats.address())?).read_line(&mut line)?;
        assert!(line.contains("\"tls_required\":true"), "{line}");
        assert!(nats.url().starts_with("tls://") && nats.authority_file().exists());
        Ok(())
    }
}
