//! The connection that stores. A call whose answer is lost is in doubt: the next connection settles it before anything
//! else, by the number of the last batch in the host's row. Until then its callers get no answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error};

use super::answers::{Meaning, describe, meaning};
use super::call::{Call, Prepared};
use super::connect::{Connector, Purpose};
use super::this_host::ThisHost;
use crate::error::StoreError;

/// The longest wait for an answer before the connection is given up. A lost peer shows earlier; a server that is frozen
/// keeps its connections.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// The longest pause between two attempts to connect.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// How long a store that was closed waits for a database that is away.
const CLOSED_WAIT_MAX: Duration = Duration::from_secs(5);

/// A new session of this host: a call of an earlier one stores nothing from now on. Waits for one that is being stored.
const SETTLE: &str = "UPDATE host SET session = session + 1, beat = clock_timestamp() \
    WHERE no = $1 AND state IN ('joining', 'live', 'draining') RETURNING session, batch";

/// The writer.
pub(super) struct Writer {
    connector: Connector,
    pub(super) host: Arc<ThisHost>,
    session: Option<Session>,
    /// The number of the last call. Each has its own, so that an abandoned one differs from all others.
    last_call: i64,
    /// The number of the last call that is stored.
    stored: i64,
}

struct Session {
    client: Arc<Client>,
    number: i32,
    prepared: Prepared,
}

/// Why a call was not stored.
pub(super) enum Refused {
    /// It cannot be, because of its content.
    Content(Error),
    /// The row of a sender is about to be removed.
    SenderRetired,
    /// The database, or this host, is not able to. See [`StoreError::InDoubt`] and [`StoreError::Fenced`].
    Failed(StoreError),
}

impl Writer {
    /// Opens the first session of a host.
    pub(super) async fn open(connector: Connector, host: Arc<ThisHost>) -> Result<Self, StoreError> {
        let mut writer = Self { connector, host, session: None, last_call: 0, stored: 0 };
        writer.connect().await?;
        Ok(writer)
    }

    /// Stores a call. Waits for a database that is away, as long as it takes.
    pub(super) async fn store(&mut self, call: &Call<'_>) -> Result<(), Refused> {
        self.last_call += 1;
        let (batch, mut is_sent) = (self.last_call, false);
        let host = Arc::clone(&self.host);
        let _storing = host.storing();
        loop {
            if self.session.is_none() && self.reconnect(is_sent).await? == batch {
                return self.is_stored(batch);
            }
            let Some(Session { client, number, prepared }) = &self.session else { continue };
            is_sent = true;
            match timeout(ANSWER_MAX, prepared.send(client, [host.no, *number], batch, call)).await {
                Ok(Ok(())) => return self.is_stored(batch),
                Ok(Err(error)) => match meaning(&error) {
                    Meaning::SenderRetired => return Err(Refused::SenderRetired),
                    Meaning::Fenced => return Err(Refused::Failed(host.lose("another host has declared it dead"))),
                    _ => self.go_on(error)?,
                },
                Err(_) => self.disconnect("it has not answered in time"),
            }
        }
    }

    /// Asks what may be asked again. Waits for a database that is away, as long as it takes.
    pub(super) async fn ask<R, F>(&mut self, ask: impl Fn(Arc<Client>) -> F) -> Result<R, Refused>
    where
        F: Future<Output = Result<R, Error>>,
    {
        loop {
            if self.session.is_none() {
                self.reconnect(false).await?;
            }
            let Some(session) = &self.session else { continue };
            match timeout(ANSWER_MAX, ask(Arc::clone(&session.client))).await {
                Ok(Ok(answer)) => {
                    self.host.answered();
                    return Ok(answer);
                }
                Ok(Err(error)) => self.go_on(error)?,
                Err(_) => self.disconnect("it has not answered in time"),
            }
        }
    }

    /// Steps down, since the database holds less than what it has answered before. Clients must not trust the numbers that
    /// they know.
    pub(super) async fn gone_back(&self) -> StoreError {
        if let Some(session) = &self.session {
            renew_epoch(&session.client).await;
        }
        self.host.lose("the database has lost what it had stored")
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        self.session = None;
    }

    fn is_stored(&mut self, batch: i64) -> Result<(), Refused> {
        self.stored = batch;
        self.host.beaten();
        Ok(())
    }

    /// Prepares the next attempt after an error, if there is to be one.
    fn go_on(&mut self, error: Error) -> Result<(), Refused> {
        match meaning(&error) {
            Meaning::Again => Ok(()),
            Meaning::Doubt => {
                self.disconnect(&describe(&error));
                Ok(())
            }
            Meaning::Full => {
                let error = StoreError::from(error);
                self.host.failed(&error.to_string());
                Err(Refused::Failed(error))
            }
            Meaning::Fenced | Meaning::SenderRetired | Meaning::Rejected => Err(Refused::Content(error)),
        }
    }

    fn disconnect(&mut self, reason: &str) {
        tracing::warn!(reason, "the writing connection to PostgreSQL is lost: {reason}");
        self.session = None;
    }

    /// Connects again. Returns the number of the last call that is stored.
    async fn reconnect(&mut self, is_sent: bool) -> Result<i64, Refused> {
        let (away_since, mut pause) = (Instant::now(), Duration::from_millis(10));
        loop {
            if let Some(error) = self.host.lost() {
                return Err(Refused::Failed(error));
            }
            match self.connect().await {
                Ok(batch) => {
                    tracing::info!("the writing connection to PostgreSQL is open again");
                    return Ok(batch);
                }
                Err(error @ StoreError::Fenced(_)) => return Err(Refused::Failed(error)),
                Err(error) => tracing::debug!(%error, "no connection to PostgreSQL: {error}"),
            }
            let waited = self.host.closed_at().map(|closed| closed.max(away_since).elapsed());
            if waited.is_some_and(|waited| waited >= CLOSED_WAIT_MAX) {
                return Err(Refused::Failed(if is_sent { StoreError::InDoubt } else { StoreError::Closed }));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn connect(&mut self) -> Result<i64, StoreError> {
        let client = self.connector.connect(Purpose::Write).await?;
        let no = self.host.no;
        let settling = async {
            let prepared = Prepared::new(&client).await?;
            Ok::<_, Error>((prepared, client.query_opt(SETTLE, &[&no]).await?))
        };
        let silent = |_| super::answers::unanswered("the session cannot be opened");
        let (prepared, row) = timeout(ANSWER_MAX, settling).await.map_err(silent)??;
        let Some(row) = row else { return Err(self.fenced(&client).await) };
        let (number, batch) = (row.try_get(0)?, row.try_get(1)?);
        self.session = Some(Session { client: Arc::new(client), number, prepared });
        if batch < self.stored {
            return Err(self.gone_back().await);
        }
        self.host.answered();
        Ok(batch)
    }

    /// The row of this host says that it may not write, or is not there.
    async fn fenced(&self, client: &Client) -> StoreError {
        match client.query_opt("SELECT FROM host WHERE no = $1", &[&self.host.no]).await {
            Ok(Some(_)) => self.host.lose("another host has declared it dead"),
            Ok(None) => {
                renew_epoch(client).await;
                self.host.lose("the database has lost what it had stored")
            }
            Err(error) => error.into(),
        }
    }
}

async fn renew_epoch(client: &Client) {
    let sql = "UPDATE cluster SET epoch = left(md5(gen_random_uuid()::text), 16)";
    if let Err(error) = client.execute(sql, &[]).await {
        let error = describe(&error);
        tracing::error!(error, "the epoch of the database was not renewed: {error}");
    }
}
