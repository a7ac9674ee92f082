//! A room whose tasks fail in ways that no handler can bring about.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that fails should say where, and one of these has to panic"
)]

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{OnceLock, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use super::*;
use crate::chat::delivery::deliver;
use crate::config::Limits;
use ondol_host_rooms::FrameSink;
use ondol_host_store::Store;
use ondol_host_store::Synchronous;

/// A wire that panics at the first write, after it has put one more task into the room, and tells of all later ones.
struct Panicking {
    room: Arc<OnceLock<Weak<RoomQueue>>>,
    first: AtomicBool,
    heard: Sender<Vec<u8>>,
}

impl FrameSink for Panicking {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.first.swap(false, Ordering::Relaxed) {
            assert!(relay(&self.room.get().unwrap().upgrade().unwrap(), "two"));
            panic!("a task that panics");
        }
        self.heard.send(bytes.to_vec()).unwrap();
        Ok(bytes.len())
    }
}

fn relay(room: &Arc<RoomQueue>, payload: &str) -> bool {
    let accepted = room.pipeline.accept(&room.flow, payload.len()).unwrap();
    room.relay(payload.to_owned(), accepted)
}

fn hears(heard: &Receiver<Vec<u8>>) -> Vec<u8> {
    heard.recv_timeout(Duration::from_secs(10)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics_does_not_leave_its_room_mute() {
    let (directory, limits) = (tempfile::tempdir().unwrap(), Limits::default());
    let store = Store::open(&directory.path().join("test.db"), Synchronous::Normal, &limits.store()).unwrap();
    let pipeline = Pipeline::new(store, limits, Handle::current(), deliver);
    let room = Arc::new(RoomQueue::new(RoomId(1), &Arc::new(pipeline), None));
    let (sender, heard) = channel();
    let known = Arc::new(OnceLock::from(Arc::downgrade(&room)));
    let wire = Panicking { room: known, first: AtomicBool::new(true), heard: sender };
    room.members.join("ann", &Arc::new(Outbox::new(Arc::new(wire), 1_000)));

    catch_unwind(AssertUnwindSafe(|| relay(&room, "one"))).unwrap_err();
    assert_eq!(hears(&heard), b"\x81\x03two", "the task that waited is done");
    assert!(relay(&room, "three"));
    assert_eq!(hears(&heard), b"\x81\x05three");
    // What was heard is taken off a moment later, maybe by another thread.
    let nothing_in_flight = async {
        while room.flow.bytes() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), nothing_in_flight).await.unwrap();
}
