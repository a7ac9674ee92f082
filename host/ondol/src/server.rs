//! Binds, accepts and drains. Knows connections and signals, and nothing of the requests on them.

mod activation;
mod admin;
mod connection;
mod drain;
mod http2;
mod lingering;
mod listeners;
mod log;
mod metrics;
mod notify;
mod open_connections;
mod public;
mod reload;
mod streams;
mod tls;
mod unanswered;
mod watchdog;

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::chat::Chat;
use crate::config::{self, Config, ConfigFlags, Limits, Supervisor};
use crate::http::{AdminApi, ConnContext, Identity, Phase, PublicApi, Sampling};
use crate::otlp::Exporter;
use activation::Sockets;
pub(crate) use admin::{read_token, token as admin_token};
use connection::ACCEPT_PAUSE;
use drain::Drain;
use listeners::Listeners;
use log::{Log, SetFilter};
use metrics::Sources;
use notify::Notifier;
use ondol_host_handlers::{Admission, CompilerProcess, Sandbox};
use ondol_host_process::{exit, own_executable};
use open_connections::OpenConnections;
use public::Public;
use reload::Reloading;
use tls::TlsConfigs;
use unanswered::Unanswered;

/// File descriptors reserved for everything but connections.
pub(crate) const DESCRIPTORS_KEPT: usize = 80;

/// Connections over the limit that are answered with 503. Further ones are dropped at once.
const REFUSED_AT_ONCE: usize = 16;

/// How long the exit waits for a supervisor that does not read.
const LAST_MESSAGE_MAX: Duration = Duration::from_secs(1);

/// How long the exit waits for the log to be written: a normal one, and an immediate one.
const LOG_MAX: Duration = Duration::from_secs(1);
const LOG_AT_ONCE_MAX: Duration = Duration::from_millis(100);

/// Serves until a signal arrives.
///
/// # Errors
///
/// When the data directory, a handler or an address is not usable.
pub fn run(flags: &ConfigFlags) -> anyhow::Result<()> {
    let supervisor = Supervisor::of_process()?;
    let sockets = Sockets::take(&supervisor.sockets)?;
    let config = &sockets.applied_to(&Config::load(flags)?)?;
    // New files belong to this user alone from the start: a socket could be opened before a later chmod.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let (log, set_filter) = Log::install(config)?;
    let last = log.clone();
    exit::before(move || last.finish(LOG_AT_ONCE_MAX));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the tokio runtime")?;
    let given = Given { flags, set_filter, sockets, supervisor };
    let ended = runtime.block_on(start(config, given, log.clone()));
    // At most a reader of the database is still running.
    runtime.shutdown_timeout(Duration::from_millis(100));
    log.finish(LOG_MAX);
    ended
}

/// What a start is given beside the configuration.
struct Given<'a> {
    flags: &'a ConfigFlags,
    set_filter: SetFilter,
    sockets: Sockets,
    supervisor: Supervisor,
}

async fn start(config: &Config, given: Given<'_>, log: Log) -> anyhow::Result<()> {
    let Given { flags, set_filter, sockets, supervisor } = given;
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
    let notifier = Notifier::new(supervisor.notify).context("NOTIFY_SOCKET")?;
    data_directory(&config.data)
        .with_context(|| format!("cannot create the data directory {}", config.data.display()))?;
    let chat = Arc::new(open(config).await?);
    let passed = sockets.passed();
    let listeners = Listeners::open(config, sockets, tls).await?;
    let watched = chat
        .watch(&config.handlers)
        .with_context(|| format!("cannot watch the directory {}", config.handlers.display()))?;
    let hang_up = signal(SignalKind::hangup())?;
    let limits = Arc::new(ArcSwap::from_pointee(config.limits.clone()));
    let ended = ended(&limits, notifier.clone(), Arc::clone(&chat))?;
    // A reader of the startup line may send signals at once, so their handlers are in place by now.
    listeners.announce(config, &chat)?;
    if let Some(longest) = supervisor.watchdog {
        watchdog::start(notifier.clone(), longest, Arc::clone(&chat));
    }
    notifier.ready(&format!("accepting connections on {}", listeners.public.local_addr()?));
    let last = notifier.clone();
    let reloading = Reloading { flags: flags.clone(), set_filter, hang_up, watched, limits, passed, notifier };
    let served = serve(listeners, chat, config, log, reloading, ended).await;
    last.finish(LAST_MESSAGE_MAX);
    served
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

/// Resolves at the first SIGINT or SIGTERM, or when an operator asks for a drain, and says how to drain then. A second signal
/// exits the process at once.
fn ended(
    limits: &Arc<ArcSwap<Limits>>,
    notifier: Notifier,
    chat: Arc<Chat>,
) -> anyhow::Result<impl Future<Output = Drain> + use<>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (limits, on_demand) = (Arc::clone(limits), Arc::clone(limits));
    Ok(async move {
        let mut asked = async move || {
            tokio::select! {
                _ = interrupt.recv() => Drain::NONE,
                _ = terminate.recv() => Drain::new(&limits.load()),
            }
        };
        let drain = tokio::select! {
            drain = asked() => drain,
            () = chat.asked_to_drain() => Drain::new(&on_demand.load()),
        };
        drop(chat);
        notifier.stopping();
        tokio::spawn(async move {
            asked().await;
            tracing::warn!("second signal: exiting at once");
            exit::now(1);
        });
        drain
    })
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
    let spans = config.otlp.as_ref().map(Exporter::start).transpose()?;
    let sampling = spans.as_ref().map(|spans| Sampling { sink: spans.sink(), percent: config.otlp_sample_percent });
    let api = Arc::new(PublicApi::new(Arc::clone(&chat), config, listener.local_addr()?, heard, sampling)?);
    let public = Arc::new(ArcSwap::from_pointee(Public::new(Arc::clone(&api), &config.limits, tls)));
    let limits = Arc::clone(&reloading.limits);
    let reload = reloading.start(config, &chat, &api, &public);
    let open = Arc::new(OpenConnections::new(connections_max(&config.limits)));
    let write_metrics =
        Sources { chat: Arc::clone(&chat), api: Arc::clone(&api), open: Arc::clone(&open), log }.write();
    let serve_metrics = async {
        let Some(listener) = &metrics else { return std::future::pending().await };
        listener.serve(&write_metrics, api.phase(), &limits).await
    };
    let serve_admin = async {
        let Some((listener, token)) = &admin else { return std::future::pending().await };
        let (chat, write_metrics, live) = (Arc::clone(&chat), Arc::clone(&write_metrics), Arc::clone(&limits));
        // A task of its own, or accepts would wait for it.
        let mut sampling = JoinSet::new();
        sampling.spawn(Arc::clone(&chat).sample_activity());
        let admin_api = AdminApi::new(chat, live, token.as_ref(), write_metrics, api.phase(), reload)?;
        listener.serve(&Arc::new(admin_api), &limits).await;
        anyhow::Ok(())
    };
    let unanswered = Unanswered::new();
    let warned = async {
        let drain = ended.await;
        drain.warn(&phase, &chat).await;
        drain
    };
    let drain = tokio::select! {
        () = accept(&listener, &public, &open, &unanswered) => Drain::NONE,
        served = serve_admin => served.map(|()| Drain::NONE)?,
        () = serve_metrics => Drain::NONE,
        drain = warned => drain,
    };
    // The next server may take them. Those of a supervisor stay open.
    drop((listener, admin, metrics));
    let drain = drain.settle(&unanswered).await;
    drain.close_sockets(&phase, &chat).await;

    let connections = open.count();
    tracing::info!(connections, "shutting down with {connections} open connections");
    let finish = async {
        phase.send_replace(Phase::Ending);
        chat.close().await;
        open.all_closed().await;
        anyhow::Ok(())
    };
    match tokio::time::timeout(Duration::from_millis(limits.load().shutdown_grace_ms), finish).await {
        Ok(finished) => finished?,
        Err(_) => {
            let connections = open.count();
            tracing::warn!(connections, "shutdown_grace_ms has passed: dropping {connections} connections");
        }
    }
    if let Some(spans) = spans {
        spans.finish().await;
    }
    Ok(())
}

/// Accepts connections forever.
async fn accept(
    listener: &TcpListener,
    public: &ArcSwap<Public>,
    open: &Arc<OpenConnections>,
    unanswered: &Unanswered,
) {
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
        let (public, first) = (public.load_full(), unanswered.enter());
        tokio::spawn(async move { public.serve(tcp, context, first).await });
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
