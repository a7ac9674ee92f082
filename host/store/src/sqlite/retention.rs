//! Retention: removing messages that are kept no longer, by age or by number per room. A thread does it in small pieces
//! between commits, and pauses after each for longer than it took: live messages come first.
//!
//! Clients are not told. A room's pages begin at its first message that is kept.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::database::Database;
use super::oldest::Oldest;
use super::readers::Readers;
use super::unindexed::UnindexedByRoom;
use super::unused_senders::{SENDERS, Suspects};
use crate::error::StoreError;
use crate::limits::MessageRetention;
use ondol_host_model::{RoomId, Timestamp};

/// How many times as long as it took the thread pauses after a piece, and for how long at least: the disk has to write what
/// was changed as well, and commits wait for the same disk.
const PAUSE: u32 = 4;
const PIECE_EVERY: Duration = Duration::from_millis(50);

/// The same after a search that found nothing, which is at least [`SEARCH_EVERY`].
const IDLE_PAUSE: u32 = 100;
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// The pause after a failure, such as a full disk.
const FAILED_PAUSE: Duration = Duration::from_secs(10);

/// How many times as long as it took the thread waits after a search for senders without messages before the next one: it
/// scans all messages.
const SENDERS_PAUSE: u32 = 20;

/// Ends the thread when dropped.
pub(super) struct Stop {
    _sender: SyncSender<()>,
}

/// What the thread has to do, and how far it has come.
struct Remover {
    kept: MessageRetention,
    database: Weak<Database>,
    readers: Arc<Readers>,
    unindexed: UnindexedByRoom,
    /// The room from which on those with too many messages are searched for.
    room: RoomId,
    /// Whether messages were removed since the senders were searched.
    has_removed: bool,
    /// Senders without messages, while they are searched for, and the start of the search.
    suspects: Option<(Suspects, Instant)>,
    /// The time before which no new search begins.
    next_search: Instant,
}

/// What a step did.
enum Step {
    /// There may be more to do.
    Worked,
    /// Nothing is to be removed now.
    Idle,
}

/// Starts the thread, unless everything is kept.
pub(super) fn start(
    kept: MessageRetention,
    database: &Arc<Database>,
    readers: &Arc<Readers>,
    unindexed: &UnindexedByRoom,
) -> std::io::Result<Option<Stop>> {
    if kept == MessageRetention::default() {
        return Ok(None);
    }
    let (sender, stopped) = sync_channel(0);
    let mut remover = Remover {
        kept,
        database: Arc::downgrade(database),
        readers: Arc::clone(readers),
        unindexed: unindexed.clone(),
        room: RoomId(0),
        has_removed: false,
        suspects: None,
        next_search: Instant::now(),
    };
    std::thread::Builder::new().name("retention".to_owned()).spawn(move || remover.run(&stopped))?;
    Ok(Some(Stop { _sender: sender }))
}

impl Remover {
    fn run(&mut self, stopped: &Receiver<()>) {
        loop {
            let started = Instant::now();
            let step = self.step();
            let took = started.elapsed();
            let pause = match step {
                Ok(Step::Worked) => (took * PAUSE).max(PIECE_EVERY),
                Ok(Step::Idle) => (took * IDLE_PAUSE).max(SEARCH_EVERY),
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "old messages were not removed, which is tried again: {error}");
                    FAILED_PAUSE
                }
            };
            if !matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                return;
            }
        }
    }

    fn step(&mut self) -> Result<Step, StoreError> {
        if self.suspects.is_none() {
            let too_old = self.too_old()?;
            if self.remove(&too_old)? {
                return Ok(Step::Worked);
            }
            let too_many = self.too_many()?;
            if self.remove(&too_many)? {
                return Ok(Step::Worked);
            }
        }
        self.remove_unused_senders()
    }

    /// Removes a piece. True: there is more. The few that come due meanwhile wait for the next search.
    fn remove(&mut self, oldest: &Oldest) -> Result<bool, StoreError> {
        if !oldest.is_empty() {
            self.database()?.remove_oldest(oldest)?;
            self.has_removed = true;
        }
        Ok(oldest.is_full())
    }

    /// Messages that are too old.
    fn too_old(&self) -> Result<Oldest, StoreError> {
        if self.kept.age_ms == 0 {
            return Ok(Oldest::default());
        }
        let before = Timestamp(Timestamp::now().0.saturating_sub(self.kept.age_ms));
        self.readers.read_blocking(|connection| Oldest::before(connection, before))
    }

    /// Messages of rooms that have too many.
    fn too_many(&mut self) -> Result<Oldest, StoreError> {
        let (unindexed, room, count) = (&self.unindexed, self.room, self.kept.of_room);
        if count == 0 {
            return Ok(Oldest::default());
        }
        let oldest = self.readers.read_blocking(|connection| Oldest::beyond(connection, unindexed, room, count))?;
        // The last room may have more. After a piece that is not full all rooms were searched, and the next search begins anew.
        let last = oldest.firsts.last_key_value().map(|(room, _)| *room);
        self.room = last.filter(|_| oldest.is_full()).unwrap_or(RoomId(0));
        Ok(oldest)
    }

    fn remove_unused_senders(&mut self) -> Result<Step, StoreError> {
        let Some((suspects, begun)) = &mut self.suspects else {
            let now = Instant::now();
            if !self.has_removed || now < self.next_search {
                return Ok(Step::Idle);
            }
            self.has_removed = false;
            self.suspects = Some((self.readers.read_blocking(Suspects::all)?, now));
            return Ok(Step::Worked);
        };
        if self.readers.read_blocking(|connection| suspects.scan(connection))? {
            return Ok(Step::Worked);
        }
        match suspects.take(SENDERS) {
            Some(unused) => self.database()?.remove_senders(&unused)?,
            None => {
                self.next_search = Instant::now() + begun.elapsed() * SENDERS_PAUSE;
                self.suspects = None;
            }
        }
        Ok(Step::Worked)
    }

    fn database(&self) -> Result<Arc<Database>, StoreError> {
        self.database.upgrade().ok_or(StoreError::Closed)
    }
}
