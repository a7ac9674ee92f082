//! The database as PostgreSQL, which several hosts may share. It is the referee: each statement that stores checks that this
//! host is alive and the home of the rooms it writes to, so what a host believes can be wrong without harm.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::Client;

mod answers;
mod batch;
mod call;
mod commit;
mod connect;
mod control;
mod deleting;
mod examine;
mod home_of;
mod homes;
mod ids;
mod longest;
mod migrating;
mod neighbours;
mod opening;
mod pages;
mod pool;
mod readers;
mod reading;
mod release_events;
mod release_history;
mod releases;
mod remembered;
mod reports;
mod retention;
mod rooms;
mod rows;
mod schema;
mod senders;
#[cfg(test)]
mod testing;
mod this_host;
mod tls;
mod url;
mod user_messages;
mod verifying;
mod versions;
mod writer;

pub use connect::PostgresConfig;
pub use examine::{Examined, examine};
pub use longest::{POSTGRES_BYTES_MAX, POSTGRES_USER_ID_CHARS_MAX};
pub(crate) use migrating::MigrationTarget;
pub(crate) use release_history::ReleaseHistory;
pub use url::PostgresUrl;
pub(crate) use user_messages::UserSearch;
pub use verifying::verify_postgres;

use crate::cache::Cache;
use crate::error::StoreError;
use crate::limits::StoreLimits;
use crate::outcomes::{Deleted, Deletion, RoomOutcome};
use crate::page::Page;
use batch::BatchWriter;
use connect::{Connector, Purpose};
use control::Control;
use ids::Ids;
use neighbours::Watched;
use ondol_host_model::{Message, MessageId, Room, RoomDraft, RoomId, Seq};
use ondol_host_process::exit;
use pool::Connections;
use readers::Readers;
use reading::Reading;
use retention::Remover;
use rooms::Heads;
use this_host::ThisHost;
use writer::Writer;

/// How long the last words of a host may take.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// The database, to one of the hosts that use it.
pub(crate) struct Postgres {
    host: Arc<ThisHost>,
    control: Arc<Control>,
    ids: Arc<Ids>,
    heads: Arc<Heads>,
    writer: Mutex<BatchWriter>,
    reading: Reading,
    cache: Arc<Cache>,
    /// For changes that are neither batches nor rooms.
    changes: Arc<Connections>,
    releases: ReleaseHistory,
    epoch: String,
    chat_id: String,
    beating: AbortHandle,
    /// None: this host uses the database alone.
    neighbours: Option<Watched>,
    _retention: Option<retention::Stop>,
}

impl Postgres {
    /// Connects, brings the schema up to date, and enters this host. Ends the process when another host has taken over,
    /// since nothing that it would say then could be true.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if another host uses the database, [`StoreError::SchemaTooNew`], or PostgreSQL's error.
    pub(crate) async fn connect(config: &PostgresConfig, limits: &StoreLimits) -> Result<Self, StoreError> {
        Self::connect_or(config, limits, || exit::now(1)).await
    }

    /// The same. Steps down as it is told to.
    async fn connect_or(config: &PostgresConfig, limits: &StoreLimits, step_down: fn()) -> Result<Self, StoreError> {
        let connector = Connector::new(config)?;
        let mut client = connector.connect(Purpose::Control).await?;
        connect::check_server(&client).await?;
        schema::settle(&mut client).await?;
        let no = opening::join(&mut client, config).await?;
        let about = client.query_one("SELECT epoch, id::text FROM cluster", &[]).await?;
        let (epoch, chat_id) = (about.try_get(0)?, about.try_get(1)?);
        let host = Arc::new(ThisHost::new(no, step_down));
        let writer = Writer::open(connector.clone(), Arc::clone(&host)).await?;
        opening::go_live(&client, no).await?;
        tracing::info!(no, place = connector.place(), "host {} uses PostgreSQL as number {no}", config.host);
        let readers = Arc::new(Readers::new(&connector, config.readers_max)?);
        let changes = Arc::new(ReleaseHistory::writers(&connector)?);
        let (is_shared, cache_bytes_max) = (config.cluster.is_some(), limits.history_cache_bytes_max);
        let cache = Arc::new(if is_shared { Cache::shared(cache_bytes_max) } else { Cache::new(cache_bytes_max) });
        let releases = ReleaseHistory::new(Arc::clone(&readers), Arc::clone(&changes), no, &config.host);
        let remover = Remover {
            no,
            is_shared,
            kept: limits.retention,
            connector: connector.clone(),
            readers: Arc::clone(&readers),
            writers: Arc::clone(&changes),
            cache: Arc::clone(&cache),
        };
        let reading = Reading::new(readers, Arc::clone(&cache), limits.page_bytes_max);
        let control = Arc::new(Control::new(connector, Arc::clone(&host), client));
        let beating = tokio::spawn({
            let control = Arc::clone(&control);
            async move { control.beat_on().await }
        });
        let neighbours = if is_shared { Some(Watched::start(&control, &host, config.host_lost).await?) } else { None };
        let (ids, heads) = (Arc::new(Ids::new(Arc::clone(&control))), Arc::<Heads>::default());
        let writer = Mutex::new(BatchWriter::new(writer, Arc::clone(&heads), !is_shared));
        Ok(Self {
            host,
            control,
            ids,
            heads,
            writer,
            reading,
            cache,
            changes,
            releases,
            epoch,
            chat_id,
            beating: beating.abort_handle(),
            neighbours,
            _retention: retention::start(remover),
        })
    }

    /// The reason why nothing can be stored. None: storing works.
    pub(crate) fn failure(&self) -> Option<String> {
        self.host.failure()
    }

    /// The name of the history that the database holds.
    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Whether messages wait for PostgreSQL, which is another process.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.host.is_waiting()
    }

    /// Asks the database a trivial question.
    #[cfg(test)]
    pub(crate) async fn ask(&self) -> Result<(), StoreError> {
        let ask = |client: Arc<Client>| async move { client.query_one("SELECT 1", &[]).await.map(drop) };
        self.control.ask(ask).await
    }

    /// An id for a message, above those of all messages of the rooms that were claimed. None: they are used up, and more
    /// are on their way.
    pub(crate) fn next_id(&self) -> Option<MessageId> {
        self.ids.next()
    }

    /// Stores messages in one transaction. Returns why some are not stored, by their index. After
    /// [`StoreError::InDoubt`] and [`StoreError::Fenced`] a message may be stored: callers must get no answer.
    pub(crate) async fn store(&self, messages: &[&Message]) -> HashMap<usize, StoreError> {
        if messages.is_empty() {
            return HashMap::new();
        }
        let errors = self.writer.lock().await.store(messages).await;
        for (index, _) in errors.iter().filter(|(_, error)| matches!(error, StoreError::HomeElsewhere)) {
            messages.get(*index).into_iter().for_each(|message| self.is_elsewhere(message.room));
        }
        errors
    }

    /// Creates a room, or finds the one that its post has.
    pub(crate) async fn create_room(
        &self,
        draft: &RoomDraft,
        post_id: Option<u64>,
        owner: Option<&str>,
    ) -> Result<RoomOutcome, StoreError> {
        self.refuse_if_closed()?;
        rooms::create(&self.control, draft, post_id, owner).await
    }

    /// Deletes messages of a room, in its turn. Those that do not exist are left out.
    pub(crate) async fn delete(&self, room: RoomId, seqs: &[Seq]) -> Result<Deletion, StoreError> {
        self.refuse_if_closed()?;
        let deletion = self.writer.lock().await.delete(room, seqs).await?;
        self.cache.forget(room);
        Ok(deletion)
    }

    pub(crate) async fn room(&self, id: RoomId) -> Result<Option<Room>, StoreError> {
        self.reading.room(id).await
    }

    pub(crate) async fn rooms(&self, after: RoomId, limit: usize) -> Result<Vec<Room>, StoreError> {
        self.reading.rooms(after, limit).await
    }

    pub(crate) async fn messages(&self, room: RoomId, page: Page, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.reading.messages(room, page, limit).await
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reading.reads()
    }

    pub(crate) async fn last_seq(&self, room: RoomId) -> Result<Seq, StoreError> {
        self.reading.last_seq(room).await
    }

    pub(crate) async fn by_client_id(
        &self,
        room: RoomId,
        sender: String,
        client_id: String,
    ) -> Result<Option<Message>, StoreError> {
        self.reading.by_client_id(room, sender, client_id).await
    }

    pub(crate) async fn has_message(&self, room: RoomId, id: MessageId) -> Result<bool, StoreError> {
        self.reading.has_message(room, id).await
    }

    pub(crate) async fn deletions(
        &self,
        room: RoomId,
        since: Seq,
        known: Seq,
        limit: usize,
    ) -> Result<Vec<Deleted>, StoreError> {
        self.reading.deletions(room, since, known, limit).await
    }

    pub(crate) async fn search_user(&self, user: String, room: Option<RoomId>) -> Result<UserSearch, StoreError> {
        user_messages::search_user(&self.reading.readers, user, room).await
    }

    pub(crate) async fn found_next(&self, search: &mut UserSearch) -> Result<Option<Vec<(RoomId, Seq)>>, StoreError> {
        user_messages::found_next(&self.reading.readers, search).await
    }

    pub(crate) async fn remove_unused_senders(&self, senders: Vec<i64>) -> Result<(), StoreError> {
        self.refuse_if_closed()?;
        user_messages::remove_unused_senders(&self.reading.readers, &self.changes, senders).await
    }

    pub(crate) fn releases(&self) -> &ReleaseHistory {
        &self.releases
    }

    /// Rejects rooms and releases from now on. Messages are still stored, but a database that is away is not waited for long.
    pub(crate) fn close(&self) {
        self.host.close();
    }

    /// Releases the rooms, says that this host is gone, and closes the connections that write.
    pub(crate) async fn finish(&self) {
        self.host.close();
        let no = self.host.no;
        let leave = |client: Arc<Client>| async move {
            let sql = "WITH released AS (UPDATE room SET host = NULL WHERE host = $1) \
                       UPDATE host SET state = 'gone' WHERE no = $1 AND state IN ('joining', 'live', 'draining')";
            client.execute(sql, &[&no]).await
        };
        let leaving = async {
            let mut writer = self.writer.lock().await;
            self.beating.abort();
            self.host.left();
            writer.writer.close();
            self.control.ask(leave).await
        };
        match timeout(FINISH_MAX, leaving).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the database was not told that this host is gone: {error}"),
            Err(_) => tracing::warn!("the database was not told that this host is gone: it does not answer"),
        }
        self.beating.abort();
        if let Some(watched) = &self.neighbours {
            watched.stop();
        }
        self.changes.close();
        self.reading.readers.close();
        self.control.close();
    }

    fn refuse_if_closed(&self) -> Result<(), StoreError> {
        if self.host.closed_at().is_some() { Err(StoreError::Closed) } else { Ok(()) }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

#[cfg(test)]
mod tests;
