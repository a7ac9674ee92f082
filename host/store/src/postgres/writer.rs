//! The connection that stores. A call whose answer is lost is in doubt: the next connection settles it before anything
//! else, by the number of the last batch in the host's row. Until then its callers get no answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error};

use super::answers::{Meaning, describe, meaning};
use super::call::{Call, Prepared};
use super::connect::{Connector, Purpose};
use super::this_host::{DECLARED_DEAD, ThisHost, WRITING};
use crate::error::StoreError;

/// The longest wait for an answer before the connection is given up. A lost peer shows earlier; a server that is frozen
/// keeps its connections.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// What a slow way to the server takes for certain within a second.
const BYTES_PER_SECOND: usize = 1_024 * 1_024;

/// How often a call is sent whose connection is lost each time before it is stored: it may be the reason. One that cannot be
/// sent in parts gets more, since its message is then given up.
const DOUBTS_MAX: u32 = 2;
const DOUBTS_OF_ONE_MAX: u32 = 4;

/// Why a connection is given up, and a role.
const LATE: &str = "it has not answered in time";
const GONE_BACK: &str = "the database has lost what it had stored";

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
    /// The longest wait for an answer to something small.
    pub(super) answer_max: Duration,
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
    /// It is not stored, and each time it was sent the connection was lost, with this reason.
    Doubtful(String),
    /// The row of a sender is about to be removed.
    SenderRetired,
    /// The database, or this host, is not able to. See [`StoreError::InDoubt`] and [`StoreError::Fenced`].
    Failed(StoreError),
}

impl Writer {
    /// Opens the first session of a host.
    pub(super) async fn open(connector: Connector, host: Arc<ThisHost>) -> Result<Self, StoreError> {
        let mut writer = Self { connector, host, session: None, last_call: 0, answer_max: ANSWER_MAX };
        writer.connect().await?;
        Ok(writer)
    }

    /// Stores a call. Waits for a database that is away, as long as it takes.
    pub(super) async fn store(&mut self, call: &Call<'_>) -> Result<(), Refused> {
        self.last_call += 1;
        let (batch, mut is_sent, mut doubts) = (self.last_call, false, Vec::new());
        let doubts_max = if call.is_divisible() { DOUBTS_MAX } else { DOUBTS_OF_ONE_MAX };
        let answer_max = self.answer_max + time_for(call.bytes());
        let host = Arc::clone(&self.host);
        let _waiting = host.waiting();
        loop {
            let sent = Instant::now();
            if self.session.is_none() && self.reconnect(is_sent).await? == batch {
                return self.is_stored(batch, sent);
            }
            if doubts.len() >= doubts_max as usize {
                return Err(Refused::Doubtful(doubts.pop().unwrap_or_default()));
            }
            let Some(Session { client, number, prepared }) = &self.session else { continue };
            is_sent = true;
            match timeout(answer_max, prepared.send(client, [host.no, *number], batch, call)).await {
                Ok(Ok(())) => return self.is_stored(batch, sent),
                Ok(Err(error)) => match meaning(&error) {
                    Meaning::SenderRetired => return Err(Refused::SenderRetired),
                    // Or a session that was given up has begun after this one: the next one tells.
                    Meaning::Fenced => self.disconnect("this host may have lost its role"),
                    Meaning::Doubt => {
                        doubts.push(describe(&error));
                        self.go_on(error)?;
                    }
                    _ => self.go_on(error)?,
                },
                Err(_) => {
                    doubts.push(LATE.to_owned());
                    self.disconnect(LATE);
                }
            }
        }
    }

    /// Asks what may be asked again. Waits for a database that is away, as long as it takes.
    pub(super) async fn ask<R, F>(&mut self, ask: impl Fn(Arc<Client>) -> F) -> Result<R, Refused>
    where
        F: Future<Output = Result<R, Error>>,
    {
        let host = Arc::clone(&self.host);
        let _waiting = host.waiting();
        loop {
            if self.session.is_none() {
                self.reconnect(false).await?;
            }
            let Some(session) = &self.session else { continue };
            match timeout(self.answer_max, ask(Arc::clone(&session.client))).await {
                Ok(Ok(answer)) => {
                    self.host.answered();
                    return Ok(answer);
                }
                Ok(Err(error)) => self.go_on(error)?,
                Err(_) => self.disconnect(LATE),
            }
        }
    }

    /// Steps down, since the database holds less than what it has answered before. Clients must not trust the numbers that
    /// they know.
    pub(super) async fn gone_back(&self) -> StoreError {
        match &self.session {
            Some(session) => gone_back(&session.client, &self.host).await,
            None => self.host.lose(GONE_BACK),
        }
    }

    /// Closes the connection.
    pub(super) fn close(&mut self) {
        self.session = None;
    }

    fn is_stored(&self, batch: i64, sent: Instant) -> Result<(), Refused> {
        self.host.stored(batch, sent);
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
        self.host.disconnected(WRITING, reason);
        self.host.interrupted();
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
                    self.host.connected(WRITING);
                    return Ok(batch);
                }
                Err(error @ StoreError::Fenced(_)) => return Err(Refused::Failed(error)),
                Err(error) => self.host.disconnected(WRITING, &error.to_string()),
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
        let (client, untried) = self.connector.open(Purpose::Write).await?;
        let no = self.host.no;
        let settling = async {
            let prepared = Prepared::new(&client).await?;
            Ok::<_, Error>((prepared, client.query_opt(SETTLE, &[&no]).await?))
        };
        let silent = |_| super::answers::unanswered("the session cannot be opened");
        let (prepared, row) = timeout(self.answer_max, settling).await.map_err(silent)??;
        let Some(row) = row else { return Err(fenced(&client, &self.host).await) };
        let (number, batch) = (row.try_get(0)?, row.try_get(1)?);
        untried.keep();
        self.session = Some(Session { client: Arc::new(client), number, prepared });
        if batch < self.host.last_stored() {
            return Err(self.gone_back().await);
        }
        self.host.answered();
        Ok(batch)
    }
}

/// Steps down, since the row of this host says that it may not write, or is not there.
pub(super) async fn fenced(client: &Client, host: &ThisHost) -> StoreError {
    match client.query_opt("SELECT FROM host WHERE no = $1", &[&host.no]).await {
        Ok(Some(_)) => host.lose(DECLARED_DEAD),
        Ok(None) => gone_back(client, host).await,
        Err(error) => error.into(),
    }
}

/// How long a way that is slow takes for so many bytes.
fn time_for(bytes: usize) -> Duration {
    Duration::from_secs((bytes / BYTES_PER_SECOND) as u64)
}

/// Steps down, since the database holds less than what it has answered before, and says so to clients that resume.
pub(super) async fn gone_back(client: &Client, host: &ThisHost) -> StoreError {
    let sql = "UPDATE cluster SET epoch = left(md5(gen_random_uuid()::text), 16)";
    if let Err(error) = client.execute(sql, &[]).await {
        let error = describe(&error);
        tracing::error!(error, "the epoch of the database was not renewed: {error}");
    }
    host.lose(GONE_BACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_batch_has_the_time_that_a_slow_way_takes() {
        assert_eq!(time_for(1_000), Duration::ZERO);
        assert_eq!(time_for(64 << 20), Duration::from_secs(64));
    }
}
