//! Connections that are pooled. A broken one is replaced, and what only reads is asked once more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Error;

use super::answers::{Meaning, meaning, unanswered};
use super::connect::{Connector, Purpose};
use crate::error::StoreError;

/// Reads are small, and find their rows by an index in its order: with default planning, a plan for any number of rows may
/// sort those of a whole room.
const PLANS: &str = "-c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off -c enable_bitmapscan=off";

/// A connection that was lent. It is given back after the question.
pub(super) type Lent = Arc<Object>;

/// Connections of one purpose.
pub(super) struct Connections {
    pool: Pool,
    closed: AtomicBool,
    answer_max: Duration,
}

impl Connections {
    /// Connects when first asked. `answer_max`: the longest wait for a connection and an answer.
    pub(super) fn new(
        connector: &Connector,
        purpose: Purpose,
        max: usize,
        answer_max: Duration,
    ) -> Result<Self, StoreError> {
        let (mut config, tls) = connector.parts(purpose);
        let options = [config.get_options().unwrap_or_default(), PLANS].join(" ");
        config.options(options);
        let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager).max_size(max).build();
        let pool = pool.map_err(|error| StoreError::Postgres(error.to_string()))?;
        Ok(Self { pool, closed: AtomicBool::new(false), answer_max })
    }

    /// Asks what may be asked again: after a lost connection it is.
    pub(super) async fn ask<R, F>(&self, ask: impl Fn(Lent) -> F) -> Result<R, StoreError>
    where
        F: Future<Output = Result<R, Error>>,
    {
        let deadline = Instant::now() + self.answer_max;
        match self.ask_once(deadline, &ask).await {
            Err(Asked::Lost(_)) => self.ask_once(deadline, &ask).await,
            asked => asked,
        }
        .map_err(StoreError::from)
    }

    /// Asks once. Says whether the connection was lost.
    pub(super) async fn try_ask<R, F>(&self, ask: impl Fn(Lent) -> F) -> Result<R, Asked>
    where
        F: Future<Output = Result<R, Error>>,
    {
        self.ask_once(Instant::now() + self.answer_max, &ask).await
    }

    async fn ask_once<R, F>(&self, deadline: Instant, ask: &impl Fn(Lent) -> F) -> Result<R, Asked>
    where
        F: Future<Output = Result<R, Error>>,
    {
        if self.closed.load(Ordering::Acquire) {
            return Err(Asked::Failed(StoreError::Closed));
        }
        let lent = match timeout_at(deadline, self.pool.get()).await {
            Ok(Ok(lent)) => Arc::new(lent),
            Ok(Err(error)) => return Err(Asked::Failed(unanswered(&error.to_string()))),
            Err(_) => return Err(Asked::Failed(unanswered("no connection is free in time"))),
        };
        let answer = timeout_at(deadline, ask(Arc::clone(&lent))).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if lent.is_closed() || meaning(&error) == Meaning::Doubt => {
                discard(lent);
                Err(Asked::Lost(error.into()))
            }
            Ok(Err(error)) => {
                // It may be in the middle of a transaction.
                discard(lent);
                Err(Asked::Failed(error.into()))
            }
            Err(_) => {
                // The answer may still come, and would be taken for that to the next question.
                discard(lent);
                Err(Asked::Late(unanswered("the answer is late")))
            }
        }
    }

    /// Closes all connections, and rejects questions from now on.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.pool.close();
    }
}

/// Why there is no answer.
pub(super) enum Asked {
    /// The connection was lost, so it is not known whether the question was answered.
    Lost(StoreError),
    /// The time is over, so neither is it.
    Late(StoreError),
    /// PostgreSQL has refused, or was not asked.
    Failed(StoreError),
}

impl From<Asked> for StoreError {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Lost(error) | Asked::Late(error) | Asked::Failed(error) => error,
        }
    }
}

fn discard(lent: Lent) {
    if let Some(object) = Arc::into_inner(lent) {
        drop(Object::take(object));
    }
}
