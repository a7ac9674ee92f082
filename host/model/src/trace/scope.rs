//! The trace that a thread works for right now. Ambient, as the current span of a tracing library is: a log line deep down
//! names it, and nothing in between knows of it. What moves work to another task or thread takes the trace along.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use super::{Trace, TraceId};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Trace>>> = const { RefCell::new(None) };
}

/// Reads the current trace. None too while the thread ends.
pub(super) fn read<R>(read: impl FnOnce(&Trace) -> Option<R>) -> Option<R> {
    CURRENT.try_with(|current| current.borrow().as_deref().and_then(read)).ok().flatten()
}

/// The trace that this thread works for.
#[must_use]
pub fn current() -> Option<Arc<Trace>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// Its id.
#[must_use]
pub fn current_id() -> Option<TraceId> {
    read(|trace| Some(trace.id))
}

/// Makes a trace, or none, the current one until the result is dropped.
#[must_use]
pub fn enter(trace: Option<Arc<Trace>>) -> Entered {
    Entered { before: replace(trace) }
}

/// The time during which a trace is the current one.
#[derive(Debug)]
pub struct Entered {
    before: Option<Arc<Trace>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        drop(replace(self.before.take()));
    }
}

fn replace(trace: Option<Arc<Trace>>) -> Option<Arc<Trace>> {
    // The one before is dropped by the caller: its end may write a log line, which reads the current one.
    CURRENT.try_with(|current| current.replace(trace)).ok().flatten()
}

/// Runs a future with a trace as the current one. Without a trace, those of its callers stay.
pub async fn within<T>(trace: Option<Arc<Trace>>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _entered = trace.as_ref().map(|trace| enter(Some(Arc::clone(trace))));
        future.as_mut().poll(context)
    })
    .await
}
