//! Connections for reading. They see what is committed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_postgres::Error;

use super::connect::{Connector, Purpose};
use super::pool::{Connections, Lent};
use crate::error::StoreError;

/// The longest time that a client waits for a read.
const READ_MAX: Duration = Duration::from_secs(5);

/// Reads.
pub(super) struct Readers {
    connections: Connections,
    /// How many reads clients have caused.
    count: AtomicU64,
}

impl Readers {
    /// At most `max` reads run at once; others wait for their turn.
    pub(super) fn new(connector: &Connector, max: usize) -> Result<Self, StoreError> {
        Ok(Self { connections: Connections::new(connector, Purpose::Read, max, READ_MAX)?, count: AtomicU64::new(0) })
    }

    /// Reads for a client.
    pub(super) async fn read<R, F>(&self, read: impl Fn(Lent) -> F) -> Result<R, StoreError>
    where
        F: Future<Output = Result<R, Error>>,
    {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.connections.ask(read).await
    }

    /// The same, not counted.
    pub(super) async fn read_aside<R, F>(&self, read: impl Fn(Lent) -> F) -> Result<R, StoreError>
    where
        F: Future<Output = Result<R, Error>>,
    {
        self.connections.ask(read).await
    }

    /// How many reads clients have caused so far.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Rejects reads from now on.
    pub(super) fn close(&self) {
        self.connections.close();
    }
}
