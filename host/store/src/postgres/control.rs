//! The control connection: it holds the lock that tells other hosts that this one lives, beats, and carries what is neither
//! a batch nor a read of a client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error};

use super::answers::{Meaning, describe, meaning, unanswered};
use super::connect::{Connector, Purpose};
use super::opening::lives;
use super::this_host::{BEAT, CONTROL, DECLARED_DEAD, ThisHost};
use super::writer::gone_back;
use crate::error::StoreError;

/// The longest wait for the answer to a beat.
const BEAT_ANSWER_MAX: Duration = Duration::from_secs(3);

/// The longest time that a caller waits for an answer, over several connections.
const ASK_MAX: Duration = Duration::from_secs(5);

/// How long to wait before a statement is sent again.
const PAUSE: Duration = Duration::from_millis(20);

/// After this time a failure that a batch caused is looked at again.
const PROBE_AFTER: Duration = Duration::from_secs(2);

/// Beats, unless the row is locked: then a batch of this host is being stored, which beats, and a wait for it would make this
/// connection look lost. `batch` is of a time after the statement began.
const BEAT_SQL: &str = "
    WITH unlocked AS (
        SELECT no FROM host WHERE no = $1 AND state IN ('joining', 'live', 'draining') FOR NO KEY UPDATE SKIP LOCKED
    ), beaten AS (
        UPDATE host SET beat = clock_timestamp(), release = coalesce($2::bigint, release),
            rooms = coalesce($3::int, rooms), connections = coalesce($4::int, connections)
        FROM unlocked WHERE host.no = unlocked.no RETURNING host.no
    )
    SELECT state IN ('joining', 'live', 'draining'), EXISTS (SELECT FROM beaten), batch FROM host WHERE no = $1";

/// Whether a message fits on the disk: it is inserted, and rolled back by an error. Of 64 KiB that do not compress, which is
/// more than what is free on the pages that are there.
const PROBE: &str = "
    DO $$ BEGIN
        INSERT INTO message (room, seq, id, sender, created_at, text)
        SELECT 0, 0, 0, 0, 0, string_agg(md5(n::text), '') FROM generate_series(1, 2048) n;
        RAISE EXCEPTION 'there is room' USING ERRCODE = 'OD004';
    END $$";

/// The error of [`PROBE`] when the message fits.
const FITS: &str = "OD004";

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
            self.host.until_beat_is_due().await;
            if self.open_client().is_none() {
                has_lock = self.reconnect().await;
            }
            // At once after a lost connection: others may have seen that the lock was free.
            let Some(client) = self.open_client() else { continue };
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
        // Batches beat as well, but say nothing else.
        let report = self.host.reports.due();
        if report.is_none() && self.host.has_beaten_within(BEAT) {
            return Ok(());
        }
        let release = report.map(|report| report.release);
        let (rooms, connections) = (report.map(|report| report.rooms), report.map(|report| report.connections));
        // Before the question: a batch may be stored meanwhile.
        let (stored, sent) = (self.host.last_stored(), Instant::now());
        let Some(row) = client.query_opt(BEAT_SQL, &[&self.host.no, &release, &rooms, &connections]).await? else {
            gone_back(client, &self.host).await;
            return Ok(());
        };
        let (is_alive, has_beaten, batch): (bool, bool, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if !is_alive {
            self.host.lose(DECLARED_DEAD);
        } else if batch < stored {
            gone_back(client, &self.host).await;
        } else if has_beaten {
            self.host.beaten(sent);
            if report.is_some() {
                self.host.reports.written();
            }
        } else {
            self.host.answered();
        }
        if self.host.has_failed_for(PROBE_AFTER) {
            self.probe(client).await;
        }
        Ok(())
    }

    /// Looks again whether a message can be stored.
    async fn probe(&self, client: &Client) {
        let Err(error) = client.batch_execute(PROBE).await else { return };
        match error.code() {
            Some(code) if code.code() == FITS => self.host.writable(),
            Some(_) => self.host.failed(&StoreError::from(error).to_string()),
            None => {}
        }
    }

    /// Connects again, and returns whether it holds the lock. An earlier connection may have it until the server notices
    /// that it is gone.
    async fn reconnect(&self) -> bool {
        self.host.interrupted();
        match self.connect().await {
            Ok((client, has_lock)) => {
                self.host.interrupted();
                self.host.connected(CONTROL);
                self.client.send_replace(Some(Arc::new(client)));
                has_lock
            }
            Err(error) => {
                self.host.disconnected(CONTROL, &error.to_string());
                false
            }
        }
    }

    async fn connect(&self) -> Result<(Client, bool), StoreError> {
        let (client, untried) = self.connector.open(Purpose::Control).await?;
        let has_lock = timeout(BEAT_ANSWER_MAX, self.lock(&client)).await;
        let has_lock = has_lock.map_err(|_| unanswered("no answer on a new connection"))??;
        untried.keep();
        Ok((client, has_lock))
    }

    async fn lock(&self, client: &Client) -> Result<bool, Error> {
        let sql = concat!("SELECT pg_try_advisory_lock(", lives!("$1::int"), ")");
        client.query_one(sql, &[&self.host.no]).await?.try_get(0)
    }

    fn disconnect(&self, reason: &str) {
        self.host.disconnected(CONTROL, reason);
        self.client.send_replace(None);
    }

    /// The connection, if there is one.
    pub(super) fn open_client(&self) -> Option<Arc<Client>> {
        self.client.borrow().clone().filter(|client| !client.is_closed())
    }

    /// An open connection, as soon as there is one.
    async fn connected(&self) -> Option<Arc<Client>> {
        let is_open = |client: &Option<Arc<Client>>| client.as_ref().is_some_and(|client| !client.is_closed());
        self.client.subscribe().wait_for(is_open).await.ok()?.clone()
    }
}
