//! Binds, accepts and drains. Knows connections and signals, and nothing of the requests on them.

mod admin;
mod connection;
mod drain;
mod http2;
mod lingering;
mod log;
mod metrics;
mod public;
mod reload;
mod streams;
mod tls;

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::chat::Chat;
use crate::config::{self, AdminAddress, Config, ConfigFlags, Limits, Token};
use crate::http::{AdminApi, ConnContext, Identity, Phase, PublicApi};
use crate::metrics::ConnectionFigures;
use admin::AdminListener;
pub(crate) use admin::{read_token, token as admin_token};
use connection::ACCEPT_PAUSE;
use drain::Drain;
use log::{Log, SetFilter};
use metrics::{MetricsListener, Sources};
use ondol_host_handlers::{Admission, CompilerProcess, Sandbox};
use ondol_host_process::{exit, own_executable};
use public::Public;
use reload::Reloading;
use tls::TlsConfigs;

/// File descriptors reserved for everything but connections.
pub(crate) const DESCRIPTORS_KEPT: usize = 80;

/// Connections over the limit that are answered with 503. Further ones are dropped at once.
const REFUSED_AT_ONCE: usize = 16;

/// How long the exit waits for the log to be written: a normal one, and an immediate one.
const LOG_MAX: Duration = Duration::from_secs(1);
const LOG_AT_ONCE_MAX: Duration = Duration::from_millis(100);

/// Serves until a signal arrives.
///
/// # Errors
///
/// When the data directory, a handler or an address is not usable.
pub fn run(flags: &ConfigFlags) -> anyhow::Result<()> {
    let config = &Config::load(flags)?;
    // New files belong to this user alone from the start: a socket could be opened before a later chmod.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let (filter, renamed) = log::filter(&config.log);
    let filter = EnvFilter::try_new(filter).context("the option `log`")?;
    let log = Log::start(std::io::stderr(), config.limits.log_queue_max).context("cannot start the log thread")?;
    let last = log.clone();
    exit::before(move || last.finish(LOG_AT_ONCE_MAX));
    let set_filter = log::install(filter, log.clone());
    for (old, new) in renamed {
        tracing::warn!(old, new, "log filter: the module {old} is now called {new}");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the tokio runtime")?;
    let ended = runtime.block_on(start(config, flags, set_filter, log.clone()));
    // At most a reader of the database is still running.
    runtime.shutdown_timeout(Duration::from_millis(100));
    log.finish(LOG_MAX);
    ended
}

async fn start(config: &Config, flags: &ConfigFlags, set_filter: SetFilter, log: Log) -> anyhow::Result<()> {
    let ignored = config::ignored_variables();
    if !ignored.is_empty() {
        let names = ignored.join(", ");
        tracing::info!(%names, "ignoring environment variables of a Kubernetes service or a Docker link: {names}");
    }
    // Under `ulimit -f` the default action of SIGXFSZ is to kill the process. With a handler the write fails with
    // EFBIG and is reported. tokio keeps the handler after the drop.
    drop(signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?);
    raise_descriptors();
    // A key that cannot be read is found before anything is opened.
    Identity::new(config)?;
    let tls = TlsConfigs::read(config)?;
    data_directory(&config.data)
        .with_context(|| format!("cannot create the data directory {}", config.data.display()))?;
    let chat = Arc::new(open(config).await?);
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    let admin = match &config.admin {
        Some(address) => Some((AdminListener::bind(address, tls.admin).await?, admin_token(config, address)?)),
        None => None,
    };
    let metrics = match config.metrics {
        Some(address) => Some(MetricsListener::bind(address).await?),
        None => None,
    };
    let watched = chat
        .watch(&config.handlers)
        .with_context(|| format!("cannot watch the directory {}", config.handlers.display()))?;
    let hang_up = signal(SignalKind::hangup())?;
    let limits = Arc::new(ArcSwap::from_pointee(config.limits.clone()));
    let ended = ended(&limits)?;
    // A reader of the startup line may send signals at once, so their handlers are in place by now.
    let admin_address = admin.as_ref().map(|(listener, _)| listener.address()).transpose()?;
    let metrics_address = metrics.as_ref().map(MetricsListener::address).transpose()?;
    announce(config, listener.local_addr()?, admin_address.as_ref(), metrics_address, &chat)?;
    let listeners = Listeners { public: listener, tls: tls.public, admin, metrics };
    let reloading = Reloading { flags: flags.clone(), set_filter, hang_up, watched, limits };
    serve(listeners, chat, config, log, reloading, ended).await
}

/// Raises the soft limit of open files to the hard one: systemd and shells start programs with 1,024.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files stays at {:?}: {error}", limit.current);
    }
}

/// Creates the data directory with mode 0700. An existing one keeps its mode, with a warning if others can open it.
pub(crate) fn data_directory(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        tracing::warn!(%path, "data directory {path} is open to other users (mode {mode:04o}); fix it with chmod 700");
    }
    Ok(())
}

/// Opens the chat on a blocking thread.
async fn open(config: &Config) -> anyhow::Result<Chat> {
    let config = config.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let limits = config.limits.handlers();
        let sandbox = Sandbox::new(&limits.sandbox, Some(&config.cache_dir())).context("cannot create the sandbox")?;
        let mut sandbox = sandbox.with_fallback(config.failure);
        let compiler = own_executable().map(|program| Arc::new(CompilerProcess::new(program, &limits)));
        if let Some(compiler) = compiler.clone() {
            sandbox = sandbox.with_compiler(move |wasm| compiler.compile(wasm).map_err(|error| error.to_string()));
        }
        let chat = Chat::open(&config, Admission::new(Arc::new(sandbox), limits.admission));
        // Until here the start waits for it.
        compiler.inspect(|compiler| compiler.set_background());
        chat
    });
    opened.await?
}

/// Prints the startup line, the only one on standard output.
fn announce(
    config: &Config,
    address: SocketAddr,
    admin: Option<&AdminAddress>,
    metrics: Option<SocketAddr>,
    chat: &Chat,
) -> anyhow::Result<()> {
    let [rooms, messages, events] = chat.answering();
    let data = config.data.join("ondol.db");
    let mut out = std::io::stdout().lock();
    let scheme = if config.tls().is_some() { "https" } else { "http" };
    write!(
        out,
        "ondol {} listening on {scheme}://{address} data={} rooms={rooms} messages={messages} events={events}",
        env!("CARGO_PKG_VERSION"),
        data.display(),
    )?;
    let admin = admin.map(|admin| format!(" admin={admin}")).unwrap_or_default();
    let metrics = metrics.map(|metrics| format!(" metrics=http://{metrics}/metrics")).unwrap_or_default();
    writeln!(out, "{metrics}{admin}")?;
    Ok(out.flush()?)
}

/// Resolves at the first SIGINT or SIGTERM, and says how to drain then. A second one exits the process at once.
fn ended(limits: &Arc<ArcSwap<Limits>>) -> anyhow::Result<impl Future<Output = Drain> + use<>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let limits = Arc::clone(limits);
    Ok(async move {
        let mut asked = async move || {
            tokio::select! {
                _ = interrupt.recv() => Drain::NONE,
                _ = terminate.recv() => Drain::new(&limits.load()),
            }
        };
        let drain = asked().await;
        tokio::spawn(async move {
            asked().await;
            tracing::warn!("second signal: exiting at once");
            exit::now(1);
        });
        drain
    })
}

/// What is open before the first connection is accepted.
struct Listeners {
    public: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    admin: Option<(AdminListener, Option<Token>)>,
    metrics: Option<MetricsListener>,
}

/// Accepts connections until `ended` and its drain, then finishes accepted messages, closes all connections, and returns
/// within the grace time.
///
/// # Errors
///
/// When the table of routes is inconsistent.
async fn serve(
    listeners: Listeners,
    chat: Arc<Chat>,
    config: &Config,
    log: Log,
    reloading: Reloading,
    ended: impl Future<Output = Drain>,
) -> anyhow::Result<()> {
    let Listeners { public: listener, tls, admin, metrics } = listeners;
    let (phase, heard) = watch::channel(Phase::Running);
    let api = Arc::new(PublicApi::new(Arc::clone(&chat), config, listener.local_addr()?, heard)?);
    let public = Arc::new(ArcSwap::from_pointee(Public::new(Arc::clone(&api), &config.limits, tls)));
    let end = Arc::clone(&reloading.limits);
    let reload = reloading.start(config, &chat, &api, &public);
    let open = Arc::new(OpenConnections::new(connections_max(&config.limits)));
    let sources = Sources { chat: Arc::clone(&chat), api: Arc::clone(&api), open: Arc::clone(&open), log };
    let write_metrics = sources.write();
    let serve_metrics = async {
        let Some(listener) = &metrics else { return std::future::pending().await };
        listener.serve(&write_metrics, api.phase(), &config.limits).await
    };
    let serve_admin = async {
        let Some((listener, token)) = &admin else { return std::future::pending().await };
        let write_metrics = Arc::clone(&write_metrics);
        let limits = config.limits.clone();
        let admin_api = AdminApi::new(Arc::clone(&chat), limits, token.as_ref(), write_metrics, api.phase(), reload)?;
        let admin_api = Arc::new(admin_api);
        tokio::join!(listener.serve(&admin_api, &config.limits), chat.sample_activity());
        anyhow::Ok(())
    };
    let warned = async {
        let drain = ended.await;
        drain.warn(&phase).await;
        drain
    };
    let drain = tokio::select! {
        () = accept(&listener, &public, &open) => Drain::NONE,
        served = serve_admin => served.map(|()| Drain::NONE)?,
        () = serve_metrics => Drain::NONE,
        drain = warned => drain,
    };
    // The next server may take them.
    drop((listener, admin, metrics));
    drain.close_sockets(&phase, &chat).await;

    let connections = open.count.load(Ordering::Relaxed);
    tracing::info!(connections, "shutting down with {connections} open connections");
    let finish = async {
        phase.send_replace(Phase::Ending);
        chat.close().await;
        open.all_closed().await;
        anyhow::Ok(())
    };
    match tokio::time::timeout(Duration::from_millis(end.load().shutdown_grace_ms), finish).await {
        Ok(finished) => finished?,
        Err(_) => {
            let connections = open.count.load(Ordering::Relaxed);
            tracing::warn!(connections, "shutdown_grace_ms has passed: dropping {connections} connections");
        }
    }
    Ok(())
}

/// Accepts connections forever.
async fn accept(listener: &TcpListener, public: &ArcSwap<Public>, open: &Arc<OpenConnections>) {
    loop {
        let (tcp, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (slot, open_before) = open.enter();
        open.count_accepted(open_before >= open.max);
        if open_before >= open.max + REFUSED_AT_ONCE {
            continue;
        }
        // Frames are written in batches already, so Nagle's algorithm would only delay them.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY, dropping a connection: {error}");
            continue;
        }
        let context = ConnContext { slot, refused_at: (open_before >= open.max).then_some(open.max), peer: peer.ip() };
        let public = public.load_full();
        tokio::spawn(async move { public.serve(tcp, context).await });
    }
}

/// The limit on connections: as configured, or as many as there are file descriptors.
pub(crate) fn connections_max(limits: &Limits) -> usize {
    match limits.connections_max {
        0 => open_files_max().saturating_sub(DESCRIPTORS_KEPT).max(1),
        configured => configured,
    }
}

/// The limit of open files, to which the start raises the soft one.
pub(crate) fn open_files_max() -> usize {
    getrlimit(Resource::Nofile).maximum.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// The number of open connections.
struct OpenConnections {
    count: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    changed: watch::Sender<()>,
    max: usize,
}

/// One open connection, counted until dropped.
struct OpenConnection(Arc<OpenConnections>);

impl OpenConnections {
    fn new(max: usize) -> Self {
        let (count, accepted, refused) = Default::default();
        Self { count, accepted, refused, changed: watch::Sender::new(()), max }
    }

    /// Counts one more connection, and returns how many there were before.
    fn enter(self: &Arc<Self>) -> (Arc<OpenConnection>, usize) {
        let open_before = self.count.fetch_add(1, Ordering::AcqRel);
        (Arc::new(OpenConnection(Arc::clone(self))), open_before)
    }

    /// Counts a connection since startup, and whether it is refused.
    fn count_accepted(&self, is_refused: bool) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.refused.fetch_add(u64::from(is_refused), Ordering::Relaxed);
    }

    fn figures(&self) -> ConnectionFigures {
        ConnectionFigures {
            open: self.count.load(Ordering::Relaxed) as u64,
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            max: self.max as u64,
        }
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

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.send_replace(());
    }
}
