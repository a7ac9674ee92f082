//! The ids of messages. A host takes a block at a time, and the next one ahead, so no message waits for one.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::control::Control;
use crate::error::StoreError;
use ondol_host_model::MessageId;

/// The number of ids in a block: the increment of the sequence.
pub(super) const BLOCK: u64 = 65_536;

/// The ids that this host may give.
pub(super) struct Ids {
    blocks: Mutex<Blocks>,
    control: Arc<Control>,
    runtime: Handle,
}

struct Blocks {
    current: Range<u64>,
    ahead: Option<Range<u64>>,
    is_fetching: bool,
}

impl Blocks {
    fn next(&mut self) -> Option<u64> {
        if self.current.is_empty() {
            self.current = self.ahead.take()?;
        }
        self.current.next()
    }

    fn has_above(&self, id: u64) -> bool {
        self.current.start > id && (!self.current.is_empty() || self.ahead.is_some())
    }

    /// Whether the next block is due.
    fn is_short(&self) -> bool {
        self.ahead.is_none() && !self.is_fetching && self.current.end - self.current.start < BLOCK / 2
    }
}

impl Ids {
    /// No ids. To be called on a runtime.
    pub(super) fn new(control: Arc<Control>) -> Self {
        let blocks = Mutex::new(Blocks { current: 0..0, ahead: None, is_fetching: false });
        Self { blocks, control, runtime: Handle::current() }
    }

    /// The next id. None: they are used up, and more are on their way.
    pub(super) fn next(self: &Arc<Self>) -> Option<MessageId> {
        let mut blocks = self.blocks();
        let id = blocks.next();
        if blocks.is_short() {
            blocks.is_fetching = true;
            let ids = Arc::clone(self);
            self.runtime.spawn(async move {
                let fetched = ids.fetch().await;
                let mut blocks = ids.blocks();
                blocks.is_fetching = false;
                match fetched {
                    // A fresh block may have come meanwhile.
                    Ok(block) if block.start >= blocks.current.end => blocks.ahead = Some(block),
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "no ids for messages: {error}"),
                }
            });
        }
        id.map(MessageId)
    }

    /// Makes sure that there are ids, all of them above this one.
    pub(super) async fn above(&self, id: u64) -> Result<(), StoreError> {
        if self.blocks().has_above(id) {
            return Ok(());
        }
        let block = self.fetch().await?;
        let mut blocks = self.blocks();
        if !blocks.has_above(id) {
            (blocks.current, blocks.ahead) = (block, None);
        }
        Ok(())
    }

    async fn fetch(&self) -> Result<Range<u64>, StoreError> {
        let ask = |client: Arc<tokio_postgres::Client>| async move {
            client.query_one("SELECT nextval('message_id')", &[]).await?.try_get::<_, i64>(0)
        };
        let first = self.control.ask(ask).await?.unsigned_abs();
        Ok(first..first.saturating_add(BLOCK))
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_follows_the_other_and_the_next_is_due_at_half() {
        let mut blocks = Blocks { current: 1..BLOCK + 1, ahead: None, is_fetching: false };
        assert!(!blocks.is_short() && blocks.has_above(0) && !blocks.has_above(1));
        blocks.current.start = BLOCK / 2 + 2;
        assert!(blocks.is_short());
        blocks.current.start = BLOCK;
        assert_eq!(blocks.next(), Some(BLOCK));
        assert_eq!(blocks.next(), None, "used up");
        blocks.ahead = Some(BLOCK * 2 + 1..BLOCK * 3 + 1);
        assert_eq!(blocks.next(), Some(BLOCK * 2 + 1));
    }
}
