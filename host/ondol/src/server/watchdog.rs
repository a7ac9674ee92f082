//! The watchdog: tells the supervisor that the server works, for as long as it does. A supervisor that hears nothing restarts
//! the server, so what a restart does not cure, such as a full disk or a failing handler, does not count.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::notify::Notifier;
use crate::chat::Chat;

/// Starts it. `longest` is how long the supervisor waits. It hears four times as often, so that a disk which takes its time
/// once does not end a server that works.
pub(super) fn start(notifier: Notifier, longest: Duration, chat: Arc<Chat>) {
    let quarter = (longest / 4).max(Duration::from_millis(1));
    tokio::spawn(async move {
        let mut ticks = interval(quarter);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut commits = None;
        loop {
            ticks.tick().await;
            let before = std::mem::replace(&mut commits, chat.at_batch());
            if commits.is_some() && commits == before {
                tracing::error!(
                    "no sign of life for the watchdog: messages have waited for their commit for {quarter:?}"
                );
            } else if timeout(quarter, works(&chat)).await.is_ok() {
                notifier.alive();
            } else {
                tracing::error!("no sign of life for the watchdog: the server has not answered for {quarter:?}");
            }
        }
    });
}

/// Returns when a task has been run by a worker, and the database has answered a question, whatever it answers.
async fn works(chat: &Chat) {
    let _ = tokio::spawn(async {}).await;
    chat.ask_database().await;
}
