//! The end of a connection. Knows the outbox and the stream.

use std::io;

use tokio::time::Instant;

use super::transport::Reader;
use crate::chat::{CloseReason, Outbox, OutboxState};

/// Closes a connection cleanly: writes waiting data, shuts down the sending side, and gives the peer until `end` to close
/// its own. Closing at once would make the kernel discard what the peer has not read yet.
pub(super) async fn linger(outbox: &Outbox, reader: &Reader, end: Instant) {
    let tcp = reader.tcp();
    let _ = tokio::time::timeout_at(end, async {
        while matches!(outbox.flush(), OutboxState::Waiting | OutboxState::Closing(_)) {
            tcp.writable().await?;
        }
        if outbox.state() == OutboxState::Closed(CloseReason::Broken) {
            return Ok(());
        }
        reader.finish_sending()?;
        let mut ignored = [0; 512];
        loop {
            tcp.readable().await?;
            match tcp.try_read(&mut ignored) {
                Ok(0) => return io::Result::Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    })
    .await;
    outbox.abandon();
}
