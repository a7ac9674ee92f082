//! Tells the supervisor how far the server has come (sd_notify(3)). Knows the protocol, and nothing of the server. Messages are
//! sent in order, by a thread that may wait for the supervisor.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a sign of life may wait for a supervisor that does not read. The next one follows soon.
const ALIVE_MAX: Duration = Duration::from_millis(100);

/// How long any other message may wait: it is sent once, and a supervisor that misses it takes the server for hung.
const SEND_MAX: Duration = Duration::from_secs(5);

/// Messages that may wait for the thread. Further ones are dropped.
const QUEUE_MAX: usize = 16;

const READY: &str = "READY=1";
const RELOADING: &str = "RELOADING=1";
const STOPPING: &str = "STOPPING=1";

/// Where the supervisor listens, if there is one. Clones share it.
#[derive(Clone)]
pub(super) struct Notifier {
    queue: Option<SyncSender<Message>>,
    is_stopping: Arc<AtomicBool>,
}

enum Message {
    /// A text, and how long it may wait.
    Text(String, Duration),
    /// Asks for a sign that all before it was sent.
    Flush(SyncSender<()>),
}

/// What the thread has.
struct Supervisor {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Whether it did not hear the last message.
    is_deaf: bool,
}

impl Notifier {
    /// Speaks to this address.
    ///
    /// # Errors
    ///
    /// When it is none, or the system gives no socket or thread.
    pub(super) fn new(address: Option<OsString>) -> io::Result<Self> {
        let speak = |address: OsString| {
            let (address, socket) = (read(&address)?, UnixDatagram::unbound()?);
            let (queue, messages) = mpsc::sync_channel(QUEUE_MAX);
            let supervisor = Supervisor { socket, address, is_deaf: false };
            std::thread::Builder::new().name("notify".to_owned()).spawn(move || supervisor.send_all(&messages))?;
            io::Result::Ok(queue)
        };
        Ok(Self { queue: address.map(speak).transpose()?, is_stopping: Arc::default() })
    }

    /// The server accepts connections.
    pub(super) fn ready(&self, status: &str) {
        self.send(format!("{READY}\nSTATUS={status}"), SEND_MAX);
    }

    /// It reads its configuration again, until it is [ready](Notifier::ready) again. The time is that of notify-reload.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.send(format!("{RELOADING}\nMONOTONIC_USEC={usec}\nSTATUS=reloading"), SEND_MAX);
    }

    /// It ends. From now on the supervisor does not hear of anything that it does meanwhile.
    pub(super) fn stopping(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.send(format!("{STOPPING}\nSTATUS=draining, then ending"), SEND_MAX);
    }

    /// Whether it ends.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// It works.
    pub(super) fn alive(&self) {
        self.send("WATCHDOG=1".to_owned(), ALIVE_MAX);
    }

    /// Waits until everything was sent, for at most this long.
    pub(super) fn finish(&self, max: Duration) {
        let (done, sent) = mpsc::sync_channel(1);
        if self.queue.as_ref().is_some_and(|queue| queue.try_send(Message::Flush(done)).is_ok()) {
            let _ = sent.recv_timeout(max);
        }
    }

    fn send(&self, text: String, max: Duration) {
        if let Some(queue) = &self.queue {
            let _ = queue.try_send(Message::Text(text, max));
        }
    }
}

impl Supervisor {
    fn send_all(mut self, messages: &Receiver<Message>) {
        let mut is_stopping = false;
        for message in messages {
            match message {
                // A reload that was under way ends after the announcement of the stop, which it must not take back.
                Message::Text(text, _) if is_stopping && (text.starts_with(READY) || text.starts_with(RELOADING)) => {}
                Message::Text(text, max) => {
                    is_stopping |= text.starts_with(STOPPING);
                    self.send(&text, max);
                }
                Message::Flush(done) => drop(done.send(())),
            }
        }
    }

    fn send(&mut self, text: &str, max: Duration) {
        let waits = self.socket.set_write_timeout(Some(max));
        let sent = waits.and_then(|()| self.socket.send_to_addr(text.as_bytes(), &self.address));
        let was_deaf = std::mem::replace(&mut self.is_deaf, sent.is_err());
        match sent {
            Err(error) if !was_deaf => {
                tracing::warn!(%error, "the supervisor at NOTIFY_SOCKET does not hear: {error}");
            }
            Ok(_) if was_deaf => tracing::info!("the supervisor at NOTIFY_SOCKET hears again"),
            _ => {}
        }
    }
}

/// Reads a path, or the name of an abstract socket after `@`.
fn read(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(address),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "expected an absolute path, or @ and a name")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// A supervisor, and what speaks to it. Its messages come within a time that is never reached.
    fn supervised() -> (UnixDatagram, SocketAddr, Notifier, tempfile::TempDir) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let supervisor = UnixDatagram::bind(&path).unwrap();
        supervisor.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let address = SocketAddr::from_pathname(&path).unwrap();
        (supervisor, address, Notifier::new(Some(path.into_os_string())).unwrap(), home)
    }

    fn hear(supervisor: &UnixDatagram) -> String {
        let mut message = [0; 256];
        let length = supervisor.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn an_address_is_a_path_or_a_name() {
        assert!(read(OsStr::new("/run/systemd/notify")).unwrap().as_pathname().is_some());
        assert_eq!(read(OsStr::new("@ondol")).unwrap().as_abstract_name(), Some(&b"ondol"[..]));
        for bad in ["", "run/notify", "vsock:2:1234"] {
            assert!(read(OsStr::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_busy_supervisor_hears_that_the_server_is_ready() {
        let (supervisor, address, notifier, _home) = supervised();
        let other = UnixDatagram::unbound().unwrap();
        other.set_nonblocking(true).unwrap();
        while other.send_to_addr(b"OTHER=1", &address).is_ok() {}
        notifier.ready("accepting connections");
        // It reads once a sign of life would have been given up.
        notifier.finish(2 * ALIVE_MAX);
        while hear(&supervisor) != READY {}
    }

    #[test]
    fn a_server_that_stops_is_not_ready_again() {
        let (supervisor, _, notifier, _home) = supervised();
        notifier.stopping();
        notifier.reloading();
        notifier.ready("reloaded");
        notifier.alive();
        assert_eq!([hear(&supervisor), hear(&supervisor)], [STOPPING, "WATCHDOG=1"]);
        assert!(notifier.is_stopping());
    }
}
