//! The two calls of a message into components, in an instance that is kept and in a fresh one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use criterion::Criterion;
use ondol::config::Limits;
use ondol::handlers::{Candidate, HandlerKind, Handlers, How, Ledger, Sandbox, Source, Why};
use ondol_host_model::{Frame, RoomId};

use crate::{TARGET, TEXT_BYTES, message, speaker};

pub(crate) fn measure(criterion: &mut Criterion) -> anyhow::Result<()> {
    let fresh = Limits { handler_calls_per_instance_max: 1, ..Limits::default() };
    let (sender, room) = (speaker(), RoomId(1));
    let frame = format!(r#"{{"type":"chat.message","message":"{}"}}"#, "x".repeat(TEXT_BYTES));
    let message = message(&sender, room, 1);
    let mut group = criterion.benchmark_group("call");
    for (instance, limits) in [("kept", Limits::default()), ("fresh", fresh)] {
        let handlers = handlers(&limits)?;
        let release = handlers.current();
        let receive = || release.receive(&sender, room, Frame::Text(&frame));
        let write = || release.message(&message);
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
    let sandbox = Arc::new(Sandbox::new(limits, None)?);
    let mut candidate = Candidate::default();
    for handler in HandlerKind::ALL {
        let wasm = std::fs::read(Path::new(TARGET).join("handlers").join(handler.file_name()));
        let wasm = wasm.context("cannot read the handlers: `make handlers`")?;
        candidate.prove(&sandbox, Source { handler, wasm, settings: Arc::default(), cases: None })?;
    }
    let why = Why { who: "benchmark".to_owned(), how: How::First, why: String::new(), back_to: None, forced: false };
    let ledger = Ledger { record: Box::new(|_| Ok(1)), mark: Box::new(|_, _| Ok(())) };
    Ok(Handlers::begin(sandbox, ledger, &candidate, &why, HashMap::new())?)
}
