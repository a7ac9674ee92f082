//! A commit of several sizes, with both durabilities. Includes some 0.2 µs a message for creating it.

use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use criterion::{Criterion, Throughput};
use ondol::config::{Limits, Synchronous};
use ondol::store::{Entry, RoomOutcome, Store};
use ondol_host_model::{RoomDraft, RoomId, Speaker, Standing};

use crate::{TARGET, message, speaker};

pub(crate) fn measure(criterion: &mut Criterion) -> anyhow::Result<()> {
    let scratch = Path::new(TARGET).join("bench");
    std::fs::create_dir_all(&scratch)?;
    let mut group = criterion.benchmark_group("commit");
    for (name, synchronous) in [("full", Synchronous::Full), ("normal", Synchronous::Normal)] {
        for messages in [1, 16, 256] {
            let directory = tempfile::TempDir::with_prefix_in("micro-", &scratch)?;
            let mut room = Room::create(directory.path(), synchronous)?;
            room.commit(messages)?;
            group.throughput(Throughput::Elements(messages));
            group.bench_function(format!("{messages}, {name}"), |bencher| bencher.iter(|| room.commit(messages)));
            // An error during the measurement would repeat here.
            room.commit(messages)?;
        }
    }
    group.finish();
    Ok(())
}

/// A room of a new store.
struct Room {
    store: Store<()>,
    id: RoomId,
    sender: Arc<Speaker>,
    messages: u64,
}

impl Room {
    fn create(directory: &Path, synchronous: Synchronous) -> anyhow::Result<Self> {
        let store = Store::open(&directory.join("ondol.db"), synchronous, &Limits::default())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let draft = RoomDraft { name: "benchmark".to_owned(), standing: Standing::Reuse };
        let (RoomOutcome::Created(room) | RoomOutcome::Standing(room)) =
            runtime.block_on(store.create_room(draft, None, None))?;
        Ok(Self { store, id: room.id, sender: speaker(), messages: 0 })
    }

    /// Commits so many messages in one transaction.
    fn commit(&mut self, messages: u64) -> anyhow::Result<()> {
        for _ in 0..messages {
            self.messages += 1;
            let entry = Entry { message: Some(message(&self.sender, self.id, self.messages)), then: () };
            // Without another writer, this one always leads the commit.
            let _ = self.store.append(entry).map_err(|failed| failed.error)?;
        }
        let mut stored = 0;
        let _ = self.store.commit(|batch| stored = batch.stored.len() as u64);
        ensure!(stored == messages, "{stored} of {messages} messages were stored");
        Ok(())
    }
}
