//! Reads the configuration again, applies what can change while the server runs, and names the rest. Whatever is wrong with it
//! changes nothing.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::signal::unix::Signal;

use super::activation::Passed;
use super::log::{self, SetFilter};
use super::notify::Notifier;
use super::public::Public;
use crate::chat::Chat;
use crate::config::{Config, ConfigFlags, Difference, Limits};
use crate::http::{PublicApi, ReloadConfig, Reloaded};
use ondol_host_handlers::Watch;

/// What a reload needs of the start.
pub(super) struct Reloading {
    /// The command line, which still overrides the rest.
    pub(super) flags: ConfigFlags,
    pub(super) set_filter: SetFilter,
    pub(super) hang_up: Signal,
    pub(super) watched: Watch,
    /// Those in force, for the other listeners and the end of the server.
    pub(super) limits: Arc<ArcSwap<Limits>>,
    pub(super) passed: Passed,
    pub(super) notifier: Notifier,
}

impl Reloading {
    /// Reloads at each SIGHUP, which also has the directory read again. Returns what reloads at other times.
    pub(super) fn start(
        self,
        config: &Config,
        chat: &Arc<Chat>,
        api: &Arc<PublicApi>,
        public: &Arc<ArcSwap<Public>>,
    ) -> ReloadConfig {
        let Self { flags, set_filter, mut hang_up, watched, limits, passed, notifier } = self;
        let running = Mutex::new(config.clone());
        let (chat, api, public) = (Arc::clone(chat), Arc::clone(api), Arc::clone(public));
        let reload = Arc::new(Reload { flags, running, chat, api, public, set_filter, limits, passed, notifier });
        let other_times = Arc::clone(&reload);
        tokio::spawn(async move {
            while hang_up.recv().await.is_some() {
                reload.notifier.reloading();
                let reloading = Arc::clone(&reload);
                // What is wrong is in the log.
                let _ = tokio::task::spawn_blocking(move || reloading.run()).await;
                if !reload.notifier.is_stopping() {
                    watched.rescan();
                }
                reload.notifier.ready("accepting connections, reloaded");
            }
        });
        Box::new(move || other_times.run())
    }
}

/// What a reload changes.
struct Reload {
    flags: ConfigFlags,
    /// What is in force. Held while a reload is under way.
    running: Mutex<Config>,
    chat: Arc<Chat>,
    api: Arc<PublicApi>,
    public: Arc<ArcSwap<Public>>,
    set_filter: SetFilter,
    limits: Arc<ArcSwap<Limits>>,
    passed: Passed,
    notifier: Notifier,
}

impl Reload {
    /// Reads and applies. Compiles, so not for a worker.
    ///
    /// # Errors
    ///
    /// All problems of the configuration, one a line, or that the server stops. Nothing is changed then.
    fn run(&self) -> Result<Reloaded, String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let reloaded = self.apply(&mut running).inspect_err(|problems| {
            for problem in problems.lines() {
                tracing::error!("configuration not reloaded, nothing is changed: {problem}");
            }
        })?;
        let Reloaded { live, restart, rejected } = &reloaded;
        if !live.is_empty() {
            let names = live.join(", ");
            tracing::info!(names, "configuration reloaded: changed {names}");
        }
        for name in restart {
            tracing::warn!(name, "configuration reloaded: {name}: needs a restart");
        }
        if live.is_empty() && restart.is_empty() && rejected.is_empty() {
            tracing::info!("configuration reloaded: nothing has changed");
        }
        Ok(reloaded)
    }

    fn apply(&self, running: &mut Config) -> Result<Reloaded, String> {
        if self.notifier.is_stopping() {
            return Err("the server is stopping".to_owned());
        }
        let mut given = Config::load(&self.flags).map_err(|error| error.to_string())?;
        self.passed.keep(&mut given, running);
        let mut next = running.with_live_of(&given);
        // What needs a restart may be a part of what would make them fit together.
        next.check_conflicts().map_err(|error| error.to_string())?;
        let filter = log::filter(&next.log).0.parse().map_err(|error| format!("log: {error}"))?;
        let Difference { mut live, restart } = running.difference(&given);
        let take_over = self.api.prepare(&next).map_err(|error| format!("{error:#}"))?;
        let rejected = self.chat.reload(&next).map_err(|error| error.to_string())?;
        // From here on nothing fails.
        take_over();
        self.public.store(Arc::new(self.public.load().reloaded(&next.limits)));
        self.limits.store(Arc::new(next.limits.clone()));
        if next.log != running.log {
            (self.set_filter)(filter);
        }
        for (handler, _) in &rejected {
            // The next reload offers them again.
            next.settings.take(handler.name(), &running.settings);
            live.retain(|name| !name.starts_with(&format!("settings.{handler}.")));
        }
        *running = next;
        let rejected = rejected.into_iter().map(|(handler, why)| (handler.name(), why)).collect();
        Ok(Reloaded { live, restart, rejected })
    }
}
