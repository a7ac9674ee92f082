//! Sends spans to an OpenTelemetry collector, over OTLP and HTTP. The recorder of a span never waits: a queue of bounded length
//! takes it or drops it, and one task sends batches. Knows nothing of what is traced.

mod encode;
mod transport;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::Url;

use ondol_host_model::trace::{Span, SpanSink};
use transport::Collector;

/// The spans that may wait. Further ones are dropped and counted.
const QUEUE_MAX: usize = 4_096;

/// The spans of one request to the collector.
const BATCH_MAX: usize = 512;

/// How long a span waits for others to be sent with it.
const GATHER: Duration = Duration::from_millis(500);

/// How long the collector may take for a batch.
const SEND_MAX: Duration = Duration::from_secs(10);

/// How long a shutdown waits for the last batches.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// The interval between two warnings about lost spans.
const WARN_INTERVAL: Duration = Duration::from_mins(1);

/// Sends spans until [`Exporter::finish`].
pub(crate) struct Exporter {
    queue: Arc<Queue>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Spans on their way to the collector.
#[derive(Debug)]
struct Queue {
    spans: mpsc::Sender<Span>,
    dropped: AtomicU64,
}

impl SpanSink for Queue {
    fn record(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether spans can be sent to this address, as far as that shows without connecting.
///
/// # Errors
///
/// When it needs TLS and this system has no certificates of authorities.
pub(crate) fn check(address: &Url) -> anyhow::Result<()> {
    Collector::new(address).map(|_| ())
}

impl Exporter {
    /// Sends to the collector at this address. Connects with the first batch.
    ///
    /// # Errors
    ///
    /// When it needs TLS and this system has no certificates of authorities.
    pub(crate) fn start(address: &Url) -> anyhow::Result<Self> {
        let collector = Collector::new(address)?;
        let (spans, waiting) = mpsc::channel(QUEUE_MAX);
        let queue = Arc::new(Queue { spans, dropped: AtomicU64::new(0) });
        let (stop, stopped) = oneshot::channel();
        let sending = Sending { collector, waiting, losses: Losses::new(Arc::clone(&queue)) };
        Ok(Self { queue, stop, task: tokio::spawn(sending.run(stopped)) })
    }

    /// Where spans go.
    pub(crate) fn sink(&self) -> Arc<dyn SpanSink> {
        Arc::clone(&self.queue) as Arc<dyn SpanSink>
    }

    /// Sends what waits, for a bounded time.
    pub(crate) async fn finish(mut self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(FINISH_MAX, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the OpenTelemetry collector did not take the last spans within {} s", FINISH_MAX.as_secs());
        }
    }
}

/// The task that sends.
struct Sending {
    collector: Collector,
    waiting: mpsc::Receiver<Span>,
    losses: Losses,
}

impl Sending {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut is_stopping = false;
        while let Some(first) = self.next(&mut stopped, &mut is_stopping).await {
            if !is_stopping && self.waiting.len() < BATCH_MAX {
                is_stopping = tokio::time::timeout(GATHER, &mut stopped).await.is_ok();
            }
            let mut batch = vec![first];
            while let Ok(span) = self.waiting.try_recv() {
                batch.push(span);
                if batch.len() == BATCH_MAX {
                    break;
                }
            }
            let count = batch.len();
            let sent = tokio::time::timeout(SEND_MAX, self.collector.send(encode::request(batch))).await;
            let error = match sent {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_) => Some(format!("no answer within {} s", SEND_MAX.as_secs())),
            };
            self.losses.count(count, error);
        }
    }

    /// Waits for a span. None: the server stops, and none is left.
    async fn next(&mut self, stopped: &mut oneshot::Receiver<()>, is_stopping: &mut bool) -> Option<Span> {
        if !*is_stopping {
            tokio::select! {
                span = self.waiting.recv() => return span,
                _ = stopped => *is_stopping = true,
            }
        }
        self.waiting.try_recv().ok()
    }
}

/// The spans that are lost, and when that was said.
struct Losses {
    queue: Arc<Queue>,
    lost: u64,
    error: Option<String>,
    warned: Option<Instant>,
}

impl Losses {
    fn new(queue: Arc<Queue>) -> Self {
        Self { queue, lost: 0, error: None, warned: None }
    }

    /// Counts a batch, and now and then tells the operator.
    fn count(&mut self, batch: usize, error: Option<String>) {
        self.lost += self.queue.dropped.swap(0, Ordering::Relaxed);
        if error.is_some() {
            self.lost += batch as u64;
            self.error = error;
        }
        if self.lost == 0 || self.warned.is_some_and(|warned| warned.elapsed() < WARN_INTERVAL) {
            return;
        }
        let lost = std::mem::take(&mut self.lost);
        let error = self.error.take().unwrap_or_else(|| "they come faster than it takes them".to_owned());
        tracing::warn!(lost, error, "{lost} spans did not reach the OpenTelemetry collector: {error}");
        self.warned = Some(Instant::now());
    }
}
