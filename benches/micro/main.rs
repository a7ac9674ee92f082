//! Microbenchmarks of the three steps of a message: a call into a component, a commit, a publish to a room. Each runs alone
//! in this process. Each file names one part of the host.

mod call;
mod commit;
mod publish;

use std::sync::Arc;

use criterion::Criterion;
use ondol_host_model::{Draft, Message, MessageId, RoomId, Seq, Speaker, Timestamp, User};

/// The workspace's target directory, with the handlers, on the disk that counts.
const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
/// Bytes of every text, as in the benchmark's loads.
const TEXT_BYTES: usize = 100;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    call::measure(&mut criterion)?;
    publish::measure(&mut criterion);
    commit::measure(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn speaker() -> Arc<Speaker> {
    Arc::new(Speaker::new(User {
        id: "1-0".to_owned(),
        nickname: "n1-0".to_owned(),
        email: "1-0@example.com".to_owned(),
        profile_url: None,
    }))
}

/// Message `number` of a room.
fn message(sender: &Arc<Speaker>, room: RoomId, number: u64) -> Message {
    Message {
        id: MessageId(number),
        room,
        seq: Seq(number),
        sender: Arc::clone(sender),
        draft: Draft { text: "x".repeat(TEXT_BYTES), ..Draft::default() },
        created_at: Timestamp(1_769_851_800_125),
    }
}
