//! Binds, accepts and drains. Knows connections and signals, and nothing of what is said on them.

mod admin;
mod log;

use std::convert::Infallible;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, Signal, getrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::chat::Chat;
use crate::config::{self, AdminAddress, Config, Limits, Token};
use crate::http::{Admin, Edge, Held, Paced, Phase, Times};
use admin::AdminListener;
pub(crate) use admin::{read_token, token as admin_token};
use log::Log;
use ondol_host_handlers::Sandbox;
use ondol_host_process::exit;

/// File descriptors that are kept for everything but connections.
const DESCRIPTORS_KEPT: usize = 64;

/// Connections past the limit that are still told so, before others are dropped without a word.
const REFUSED_AT_ONCE: usize = 16;

/// How long the listener waits when the system has no descriptor for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long the end waits for the reader of the log, and how long an end at once does.
const LOG_MAX: Duration = Duration::from_secs(1);
const LOG_AT_ONCE_MAX: Duration = Duration::from_millis(100);

/// Serves until a signal ends it.
///
/// # Errors
///
/// When something that it needs cannot be had: the data, the handlers, the address.
pub fn run(config: &Config) -> anyhow::Result<()> {
    // What is created is for this user alone from the first moment on: a socket could otherwise be opened before its mode is set.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let (filter, renamed) = log::filter(&config.log);
    let filter = EnvFilter::try_new(filter).context("log")?;
    let log = Log::start(std::io::stderr(), config.limits.log_queue_max).context("the log")?;
    let (lines, last) = (log.clone(), log.clone());
    exit::before(move || last.finish(LOG_AT_ONCE_MAX));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(move || lines.clone())
        // A log that cannot be written must not end what is being done: the default would panic.
        .log_internal_errors(false)
        .init();
    for (old, new) in renamed {
        tracing::warn!(old, new, "log filter: the module {old} is called {new} now");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime")?;
    let ended = runtime.block_on(start(config));
    // What still runs then is a reader of the database at most.
    runtime.shutdown_timeout(Duration::from_millis(100));
    log.finish(LOG_MAX);
    ended
}

async fn start(config: &Config) -> anyhow::Result<()> {
    let ignored = config::foreign_variables();
    if !ignored.is_empty() {
        let names = ignored.join(", ");
        tracing::info!("environment variables of a Kubernetes service or a Docker link are ignored: {names}");
    }
    // The signal would end the process where a file meets `ulimit -f`. With a handler the write fails with EFBIG instead, and
    // is reported. The handler stays when this is dropped.
    drop(signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?);
    data_directory(&config.data).with_context(|| format!("the data directory {}", config.data.display()))?;
    let chat = Arc::new(open(config).await?);
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
    let admin = match &config.admin {
        Some(address) => Some((AdminListener::bind(address).await?, admin_token(config, address)?)),
        None => None,
    };
    let watched = chat.watch(&config.handlers).context("watching the handlers")?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let ended = ended()?;
    // Whoever reads the line may send signals.
    let admin_address = admin.as_ref().map(|(listener, _)| listener.address()).transpose()?;
    announce(config, listener.local_addr()?, admin_address.as_ref(), &chat)?;
    tokio::spawn(async move {
        while hang_up.recv().await.is_some() {
            watched.look_again();
        }
    });
    serve(listener, admin, chat, config, ended).await
}

/// Makes the data directory for this user alone. One that others can open stays as it is: it may be meant so.
fn data_directory(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        tracing::warn!("the data directory {path} can be opened by other users (mode {mode:04o}); chmod 700 closes it");
    }
    Ok(())
}

/// Opens the chat, beside the workers.
async fn open(config: &Config) -> anyhow::Result<Chat> {
    let config = config.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let mut sandbox = Sandbox::new(&config.limits.handlers(), Some(&config.cache_dir()))
            .context("the sandbox")?
            .failing(config.failure);
        if let Some(program) = config::program() {
            sandbox = sandbox.compiling_aside(program);
        }
        Chat::open(&config, sandbox)
    });
    opened.await?
}

/// The one line on standard output.
fn announce(config: &Config, address: SocketAddr, admin: Option<&AdminAddress>, chat: &Chat) -> anyhow::Result<()> {
    let [rooms, messages, events] = chat.answering();
    let data = config.data.join("ondol.db");
    let mut out = std::io::stdout().lock();
    write!(
        out,
        "ondol {} listening on http://{address} data={} rooms={rooms} messages={messages} events={events}",
        env!("CARGO_PKG_VERSION"),
        data.display(),
    )?;
    writeln!(out, "{}", admin.map(|admin| format!(" admin={admin}")).unwrap_or_default())?;
    Ok(out.flush()?)
}

/// Returns when the process is asked to end. Asked twice, it ends without this returning.
fn ended() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        let mut asked = async move || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        asked().await;
        tokio::spawn(async move {
            asked().await;
            tracing::warn!("asked to end twice: ending at once");
            exit::now(1);
        });
    })
}

/// Accepts connections until `ended`, then finishes what was accepted, closes them all, and returns within the grace time.
///
/// # Errors
///
/// When the edge cannot be made.
async fn serve(
    listener: TcpListener,
    admin: Option<(AdminListener, Option<Token>)>,
    chat: Arc<Chat>,
    config: &Config,
    ended: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (phase, heard) = watch::channel(Phase::Running);
    let edge = Arc::new(Edge::new(Arc::clone(&chat), config, listener.local_addr()?, heard)?);
    let operate = async {
        let Some((listener, token)) = &admin else { return std::future::pending().await };
        let edge = Admin::new(Arc::clone(&chat), config.limits.clone(), token.as_ref(), edge.phase())?;
        listener.serve(&Arc::new(edge), &config.limits).await;
        anyhow::Ok(())
    };
    let open = Arc::new(Open::new(connections_max(&config.limits)));
    tokio::select! {
        () = accept(&listener, &edge, &open, &config.limits) => {}
        operated = operate => operated?,
        () = ended => {}
    }
    drop((listener, admin));

    tracing::info!(connections = open.count.load(Ordering::Relaxed), "shutting down");
    let finish = async {
        phase.send_replace(Phase::Ending);
        chat.close().await;
        open.all_closed().await;
        anyhow::Ok(())
    };
    match tokio::time::timeout(Duration::from_millis(config.limits.shutdown_grace_ms), finish).await {
        Ok(finished) => finished?,
        Err(_) => tracing::warn!("the grace time is over, some connections are cut off"),
    }
    Ok(())
}

/// Accepts connections for ever.
async fn accept(listener: &TcpListener, edge: &Arc<Edge>, open: &Arc<Open>, limits: &Limits) {
    let (http, times) = (Arc::new(http(limits)), Times::of(limits));
    loop {
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (held, place) = open.enter();
        if place >= open.max + REFUSED_AT_ONCE {
            continue;
        }
        // Small frames leave at once; what belongs together is written together.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone before it began");
            continue;
        }
        let held = Held { place: held, full: (place >= open.max).then_some(open.max) };
        let tcp = Paced::new(tcp, times);
        let (http, edge) = (Arc::clone(&http), Arc::clone(edge));
        tokio::spawn(async move {
            let answer = |request| Arc::clone(&edge).answer(request, held.clone());
            serve_connection(&http, tcp, edge.phase(), answer, "a connection").await;
        });
    }
}

/// Answers the requests of one connection by `answer`, until it becomes a WebSocket or ends. `name` is what the log calls it.
async fn serve_connection<A>(
    http: &http1::Builder,
    stream: Paced<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    mut phase: watch::Receiver<Phase>,
    answer: impl Fn(Request<Incoming>) -> A,
    name: &str,
) where
    A: Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
{
    let stage = stream.stage();
    let service = service_fn(|request| stage.clone().answering(answer(request)));
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = async { drop(phase.wait_for(|phase| *phase > Phase::Running).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(error = format!("{:#}", anyhow::Error::new(error)), "{name} ended early");
    }
}

fn http(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    // `Paced` has the time limits: hyper's would also end a connection that is idle.
    http.header_read_timeout(None)
        // A client may end its side once its request is sent: the request's own length says whether it is whole.
        .half_close(true)
        // What is over the limits by less than that is answered by the edge, in words.
        .max_buf_size((2 * limits.header_bytes_max).max(8_192));
    http
}

/// How many connections there may be: as set, or as many as the system has descriptors for.
fn connections_max(limits: &Limits) -> usize {
    if limits.connections_max > 0 {
        return limits.connections_max;
    }
    // Linux always has a limit of open files.
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(1_024);
    usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(DESCRIPTORS_KEPT).max(1)
}

/// The connections that are open.
struct Open {
    count: AtomicUsize,
    changed: watch::Sender<()>,
    max: usize,
}

/// One of them, until dropped.
struct Entered(Arc<Open>);

impl Open {
    fn new(max: usize) -> Self {
        Self { count: AtomicUsize::new(0), changed: watch::Sender::new(()), max }
    }

    /// Counts one more, and says how many there were.
    fn enter(self: &Arc<Self>) -> (Arc<Entered>, usize) {
        let place = self.count.fetch_add(1, Ordering::AcqRel);
        (Arc::new(Entered(Arc::clone(self))), place)
    }

    async fn all_closed(&self) {
        let mut changed = self.changed.subscribe();
        while self.count.load(Ordering::Acquire) > 0 {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.send_replace(());
    }
}
