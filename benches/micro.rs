//! Microbenchmarks of the three steps of a message: a call into a component, a commit, a publish to a room. Each runs
//! alone in this process. Everything that the benchmarks know of the host's crates is in this file.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use criterion::{Criterion, Throughput};
use ondol::config::Limits;
use ondol_host_handlers::{Admission, Candidate, HandlerKind, Handlers, Ledger, Provenance, Sandbox, Source, Trigger};
use ondol_host_model::{
    Draft, Frame, Message, MessageId, OnExistingRoom, RequestId, RoomDraft, RoomId, Seq, Speaker, Timestamp, User,
};
use ondol_host_rooms::{FrameSink, Outbox, Progress, Room};
use ondol_host_store::{Entry, RoomOutcome, Store, Synchronous};

/// The workspace's target directory, with the handlers, on the disk that counts.
const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
/// Bytes of a text and of its event, as in the benchmark's loads.
const TEXT_BYTES: usize = 100;
const PAYLOAD_BYTES: usize = 300;

fn main() -> anyhow::Result<()> {
    let mut criterion =
        Criterion::default().output_directory(&Path::new(TARGET).join("criterion")).configure_from_args();
    measure_call(&mut criterion)?;
    measure_commit(&mut criterion)?;
    measure_publish(&mut criterion);
    criterion.final_summary();
    Ok(())
}

/// The two calls of a message, in an instance that is kept and in a fresh one.
fn measure_call(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut fresh = Limits::default();
    fresh.handler_calls_per_instance_max = 1;
    let (sender, room) = (speaker(), RoomId(1));
    let frame = format!(r#"{{"type":"chat.message","message":"{}"}}"#, "x".repeat(TEXT_BYTES));
    let message = message(&sender, room, 1);
    let request = RequestId::Frame(1, 1);
    let mut group = criterion.benchmark_group("call");
    for (instance, limits) in [("kept", Limits::default()), ("fresh", fresh)] {
        let handlers = handlers(&limits)?;
        let release = handlers.current();
        let receive = || release.receive(&request, &sender, room, Frame::Text(&frame));
        let write = || release.message(Some(&request), &message);
        // A call that fails here would fail each time.
        receive()?.ok().context("the messages handler refuses the frame")?;
        write()?;
        group.bench_function(format!("receive, {instance}"), |bencher| bencher.iter(receive));
        group.bench_function(format!("message, {instance}"), |bencher| bencher.iter(write));
    }
    group.finish();
    Ok(())
}

/// The default handlers, as a server holds them. Releases are not recorded.
fn handlers(limits: &Limits) -> anyhow::Result<Handlers> {
    let limits = limits.handlers();
    let admission = Admission::new(Arc::new(Sandbox::new(&limits.sandbox, None)?), limits.admission);
    let mut candidate = Candidate::default();
    for handler in HandlerKind::ALL {
        let wasm = std::fs::read(Path::new(TARGET).join("handlers").join(handler.file_name()));
        let wasm = wasm.context("cannot read the handlers: `make handlers`")?;
        candidate.admit(&admission, Source { handler, wasm, settings: Arc::default(), cases: None })?;
    }
    let (actor, trigger) = ("benchmark".to_owned(), Trigger::First);
    let provenance = Provenance::new(actor, trigger, String::new());
    let ledger = Ledger { record: Box::new(|_| Ok(1)), block: Box::new(|_, _| Ok(())), note: Box::new(|_| Ok(())) };
    Ok(Handlers::begin(Arc::new(admission), limits.rollout, &candidate, None, &provenance, ledger, HashMap::new())?)
}

/// A commit of several sizes, with both durabilities. Includes some 0.2 µs a message for creating it.
fn measure_commit(criterion: &mut Criterion) -> anyhow::Result<()> {
    let scratch = Path::new(TARGET).join("bench");
    std::fs::create_dir_all(&scratch)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let sender = speaker();
    let mut group = criterion.benchmark_group("commit");
    for (name, synchronous) in [("full", Synchronous::Full), ("normal", Synchronous::Normal)] {
        for messages in [1, 16, 256] {
            let directory = tempfile::TempDir::with_prefix_in("micro-", &scratch)?;
            let store = Store::open(&directory.path().join("ondol.db"), synchronous, &Limits::default().store())?;
            let draft = RoomDraft { name: "benchmark".to_owned(), on_existing: OnExistingRoom::Reuse };
            let (RoomOutcome::Created(room) | RoomOutcome::Existing(room)) =
                runtime.block_on(store.create_room(draft, None, None))?;
            let mut number = 0;
            let mut commit = || -> anyhow::Result<()> {
                let mut leader = None;
                for _ in 0..messages {
                    number += 1;
                    let entry = Entry { message: Some(Arc::new(message(&sender, room.id, number))), context: () };
                    leader = store.append(entry).map_err(|failed| failed.error)?.or(leader);
                }
                let mut leader = leader.context("no other writer leads")?;
                let stored = runtime.block_on(leader.commit()).stored.len() as u64;
                ensure!(leader.step_down().is_none(), "everything is committed");
                ensure!(stored == messages, "{stored} of {messages} messages were stored");
                Ok(())
            };
            commit()?;
            group.throughput(Throughput::Elements(messages));
            group.bench_function(format!("{messages}, {name}"), |bencher| bencher.iter(&mut commit));
            // An error during the measurement would repeat here.
            commit()?;
        }
    }
    group.finish();
    Ok(())
}

/// A publish to rooms of several sizes, over connections that accept everything: the fan-out without its sockets.
fn measure_publish(criterion: &mut Criterion) {
    struct Sink;
    impl FrameSink for Sink {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            Ok(std::hint::black_box(bytes).len())
        }
    }

    let payload = "x".repeat(PAYLOAD_BYTES);
    let mut group = criterion.benchmark_group("publish");
    for members in [1, 50, 1_000_u64] {
        let room = Room::default();
        for user in 0..members {
            room.join(&user.to_string(), &Arc::new(Outbox::new(Arc::new(Sink), PAYLOAD_BYTES)));
        }
        group.throughput(Throughput::Elements(members));
        group.bench_function(format!("room of {members}"), |bencher| {
            bencher.iter(|| room.put(&payload, None, None, None, None) && room.publish() == Progress::Done);
        });
    }
    group.finish();
}

fn speaker() -> Arc<Speaker> {
    let (id, nickname, email) = ("1-0".to_owned(), "n1-0".to_owned(), "1-0@example.com".to_owned());
    Arc::new(Speaker::new(User { id, nickname, email, profile_url: None }))
}

/// Message `number` of a room.
fn message(sender: &Arc<Speaker>, room: RoomId, number: u64) -> Message {
    let draft = Draft { text: "x".repeat(TEXT_BYTES), ..Draft::default() };
    let (id, seq, created_at) = (MessageId(number), Seq(number), Timestamp(1_769_851_800_125));
    Message { id, room, seq, sender: Arc::clone(sender), draft, created_at, origin: None }
}
