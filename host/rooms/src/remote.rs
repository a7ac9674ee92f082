//! The other hosts that have members of a room: each receives the frames of a pass as one run. Knows nothing of how a run
//! travels, and what a host does with it.

use std::sync::Arc;

use bytes::Bytes;

use super::announced::Change;
use ondol_host_model::Seq;

/// The frames of one pass, as another host receives them.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The first message among the frames. None: they are of no message.
    pub first: Option<Seq>,
    /// The last one.
    pub last: Option<Seq>,
    /// How many messages there are.
    pub messages: u64,
    /// Whole frames. Their messages are in flight for as long as these bytes are held.
    pub frames: Bytes,
    /// The messages among them that another host forwarded, of whichever host: the origin of the frame, and its number.
    pub settled: Vec<(i64, Seq)>,
    /// The users who come and go among them.
    pub changes: Vec<Change>,
}

/// Another host that has members of the room.
pub trait Remote: Send + Sync {
    /// Takes a run. Never blocks.
    fn receive(&self, run: Run);
}

/// The remote hosts of a room, and what each is to receive with the next pass.
#[derive(Default)]
pub(super) struct Remotes(Vec<RemoteHost>);

struct RemoteHost {
    host: i32,
    remote: Arc<dyn Remote>,
    pending: Pending,
}

/// What was put for a remote host since the last pass. The frames are those of the room.
#[derive(Default)]
struct Pending {
    /// Where they begin: what was put before it attached is not for it.
    from: usize,
    first: Option<Seq>,
    last: Option<Seq>,
    messages: u64,
    settled: Vec<(i64, Seq)>,
    changes: Vec<Change>,
}

impl Remotes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a host in place of an earlier one with its number. `from`: how many bytes wait that are not for it.
    pub(super) fn attach(&mut self, host: i32, remote: Arc<dyn Remote>, from: usize) {
        self.detach(host);
        self.0.push(RemoteHost { host, remote, pending: Pending { from, ..Pending::default() } });
    }

    pub(super) fn detach(&mut self, host: i32) {
        self.0.retain(|known| known.host != host);
    }

    /// Notes a message that is put, and the frame of another host that it came by.
    pub(super) fn note(&mut self, seq: Seq, origin: Option<i64>) {
        for RemoteHost { pending, .. } in &mut self.0 {
            pending.add(seq, seq, 1);
            pending.settled.extend(origin.map(|origin| (origin, seq)));
        }
    }

    /// Notes a run of messages that is put. Those before the last one have the numbers before its number.
    pub(super) fn note_run(&mut self, last: Seq, messages: u64) {
        let first = Seq(last.0.saturating_sub(messages.saturating_sub(1)));
        for RemoteHost { pending, .. } in &mut self.0 {
            pending.add(first, last, messages);
        }
    }

    /// Notes that a user comes or goes.
    pub(super) fn note_change(&mut self, change: &Change) {
        for RemoteHost { pending, .. } in &mut self.0 {
            pending.changes.push(change.clone());
        }
    }

    /// What each host is to receive of the frames that wait, which are all of them.
    pub(super) fn take(&mut self, frames: &Bytes) -> Vec<(Arc<dyn Remote>, Run)> {
        let runs = self.0.iter_mut().filter_map(|RemoteHost { remote, pending, .. }| {
            let run = std::mem::take(pending).run(frames)?;
            Some((Arc::clone(remote), run))
        });
        runs.collect()
    }
}

impl Pending {
    fn add(&mut self, first: Seq, last: Seq, messages: u64) {
        self.first.get_or_insert(first);
        self.last = Some(last);
        self.messages += messages;
    }

    /// None: all that waits was put before the host attached.
    fn run(self, frames: &Bytes) -> Option<Run> {
        let Self { from, first, last, messages, settled, changes } = self;
        let is_new = from < frames.len();
        is_new.then(|| Run { first, last, messages, frames: frames.slice(from..), settled, changes })
    }
}
