//! Work that ends in order when the user interrupts it: it removes what it has not finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Runs `work`. After SIGINT or SIGTERM its flag is set, and it has to return soon.
pub(super) fn until_signal<R: Send + 'static>(
    work: impl FnOnce(&Arc<AtomicBool>) -> R + Send + 'static,
) -> anyhow::Result<R> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let mut work = tokio::task::spawn_blocking(move || work(&flag));
        let done = tokio::select! {
            done = &mut work => done,
            _ = async { tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} } } => {
                stop.store(true, Ordering::Relaxed);
                work.await
            }
        };
        done.context("the command panicked")
    })
}
