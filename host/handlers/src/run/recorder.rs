//! Copies of live calls, for an author who makes cases of them. One recording at a time; knows nothing of who asks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::call::Call;
use super::kind::HandlerKind;

/// The most text that a recording holds.
const BYTES_MAX: usize = 4_194_304;

/// Takes calls while there is a recording.
#[derive(Default)]
pub(crate) struct Recorder {
    /// Most calls are not recorded, and need no lock to learn that.
    is_on: AtomicBool,
    recording: Mutex<Option<Recording>>,
}

struct Recording {
    handler: HandlerKind,
    calls: Vec<Call>,
    calls_max: usize,
    bytes: usize,
    full: Arc<Notify>,
}

/// Ends the recording, whatever ends the wait for it.
struct Ending<'a>(&'a Recorder);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_on.store(false, Ordering::Relaxed);
        *self.0.recording() = None;
    }
}

impl Recorder {
    /// Whether there is a recording.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Offers a call of a handler.
    #[cold]
    pub(crate) fn offer(&self, handler: HandlerKind, call: impl FnOnce() -> Call) {
        let mut recording = self.recording();
        let Some(recording) = recording.as_mut().filter(|recording| recording.handler == handler) else { return };
        let call = call();
        if recording.calls.len() >= recording.calls_max || recording.bytes + call.bytes() > BYTES_MAX {
            return recording.full.notify_one();
        }
        recording.bytes += call.bytes();
        recording.calls.push(call);
        if recording.calls.len() == recording.calls_max {
            recording.full.notify_one();
        }
    }

    /// Records calls of a handler until there are so many or the time is over. None: there is another recording.
    pub(crate) async fn record(&self, handler: HandlerKind, calls_max: usize, up_to: Duration) -> Option<Vec<Call>> {
        let full = Arc::new(Notify::new());
        {
            let mut recording = self.recording();
            if recording.is_some() {
                return None;
            }
            let full = Arc::clone(&full);
            *recording = Some(Recording { handler, calls: Vec::new(), calls_max, bytes: 0, full });
        }
        let _ending = Ending(self);
        self.is_on.store(true, Ordering::Relaxed);
        // Either is an end.
        let _ = tokio::time::timeout(up_to, full.notified()).await;
        let calls = self.recording().as_mut().map(|recording| std::mem::take(&mut recording.calls));
        Some(calls.unwrap_or_default())
    }

    fn recording(&self) -> MutexGuard<'_, Option<Recording>> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
