//! The control connection: it holds the lock that tells other hosts that this one lives, beats, and carries what is neither
//! a batch nor a read of a client.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error};

use super::answers::{Meaning, describe, meaning, unanswered};
use super::connect::{Connector, Purpose};
use super::opening::LIVES;
use super::this_host::ThisHost;
use crate::error::StoreError;

/// How often this host shows that it lives.
const BEAT: Duration = Duration::from_millis(500);

/// The longest wait for the answer to a beat.
const BEAT_ANSWER_MAX: Duration = Duration::from_secs(3);

/// The longest time that a caller waits for an answer, over several connections.
const ASK_MAX: Duration = Duration::from_secs(5);

/// How long to wait before a statement is sent again.
const PAUSE: Duration = Duration::from_millis(20);

/// The control connection.
pub(super) struct Control {
    connector: Connector,
    host: Arc<ThisHost>,
    /// None: it is lost, and [`Control::beat_on`] makes another.
    client: watch::Sender<Option<Arc<Client>>>,
}

impl Control {
    /// Takes over the connection that holds this host's lock.
    pub(super) fn new(connector: Connector, host: Arc<ThisHost>, client: Client) -> Self {
        Self { connector, host, client: watch::Sender::new(Some(Arc::new(client))) }
    }

    /// Asks what may be asked again, over another connection if need be.
    ///
    /// # Errors
    ///
    /// PostgreSQL's error, or that it does not answer in time.
    pub(super) async fn ask<R, F>(&self, ask: impl Fn(Arc<Client>) -> F) -> Result<R, StoreError>
    where
        F: Future<Output = Result<R, Error>>,
    {
        let asking = async {
            loop {
                let Some(client) = self.connected().await else { return Err(StoreError::Closed) };
                match ask(client).await {
                    Ok(answer) => {
                        self.host.answered();
                        return Ok(answer);
                    }
                    Err(error) if matches!(meaning(&error), Meaning::Doubt | Meaning::Again) => sleep(PAUSE).await,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        timeout(ASK_MAX, asking).await.unwrap_or_else(|_| Err(unanswered("it is not reachable, or busy for too long")))
    }

    /// Beats until the host has lost its role.
    pub(super) async fn beat_on(&self) {
        let mut has_lock = true;
        while self.host.lost().is_none() {
            sleep(BEAT).await;
            let Some(client) = self.open_client() else {
                has_lock = self.reconnect().await;
                continue;
            };
            match timeout(BEAT_ANSWER_MAX, self.beat(&client, &mut has_lock)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.disconnect(&describe(&error)),
                Err(_) => self.disconnect("no answer to a beat"),
            }
        }
    }

    /// Gives up the connection, and with it the lock.
    pub(super) fn close(&self) {
        self.client.send_replace(None);
    }

    async fn beat(&self, client: &Client, has_lock: &mut bool) -> Result<(), Error> {
        if !*has_lock {
            *has_lock = self.lock(client).await?;
        }
        if self.host.has_beaten_within(BEAT) {
            return Ok(());
        }
        if self.host.is_storing() {
            // The batch holds the row, and beats.
            client.query_one("SELECT 1", &[]).await?;
            self.host.answered();
            return Ok(());
        }
        let sql = "UPDATE host SET beat = clock_timestamp() WHERE no = $1 AND state IN ('joining', 'live', 'draining')";
        if client.execute(sql, &[&self.host.no]).await? == 0 {
            self.host.lose("another host has declared it dead");
        }
        self.host.beaten();
        Ok(())
    }

    /// Connects again, and returns whether it holds the lock. An earlier connection may have it until the server notices
    /// that it is gone.
    async fn reconnect(&self) -> bool {
        let Ok(client) = self.connector.connect(Purpose::Control).await else { return false };
        let has_lock = timeout(BEAT_ANSWER_MAX, self.lock(&client)).await;
        let Ok(Ok(has_lock)) = has_lock else { return false };
        tracing::info!("the control connection to PostgreSQL is open again");
        self.client.send_replace(Some(Arc::new(client)));
        has_lock
    }

    async fn lock(&self, client: &Client) -> Result<bool, Error> {
        client.query_one("SELECT pg_try_advisory_lock($1, $2)", &[&LIVES, &self.host.no]).await?.try_get(0)
    }

    fn disconnect(&self, reason: &str) {
        tracing::warn!(reason, "the control connection to PostgreSQL is lost: {reason}");
        self.client.send_replace(None);
    }

    fn open_client(&self) -> Option<Arc<Client>> {
        self.client.borrow().clone().filter(|client| !client.is_closed())
    }

    /// An open connection, as soon as there is one.
    async fn connected(&self) -> Option<Arc<Client>> {
        let is_open = |client: &Option<Arc<Client>>| client.as_ref().is_some_and(|client| !client.is_closed());
        self.client.subscribe().wait_for(is_open).await.ok()?.clone()
    }
}
