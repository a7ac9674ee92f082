//! A call into a component: in an instance that is kept, in a fresh one, and natively.

use std::path::Path;

use criterion::Criterion;
use ondol::config::Limits;
use ondol_host_model::{RoomId, Seq};

use crate::TARGET;
use crate::inside::{Parrot, handlers};

pub(crate) fn measure(criterion: &mut Criterion) -> anyhow::Result<()> {
    let directory = Path::new(TARGET).join("handlers");
    let limits = Limits::default();
    let mut fresh = limits.clone();
    fresh.handler_calls_per_instance_max = 1;
    let mut group = criterion.benchmark_group("call");
    for (instance, limits) in [("kept", Limits::default()), ("fresh", fresh)] {
        let handlers = handlers(&directory, &limits)?;
        let release = handlers.current();
        let mut parrot = Parrot::new();
        let message = parrot.nth(RoomId(1), Seq(1));
        // What fails here would fail each time.
        parrot.receive(&release)?;
        release.message(&message)?;
        group.bench_function(format!("receive, {instance}"), |bencher| bencher.iter(|| parrot.receive(&release)));
        group.bench_function(format!("message, {instance}"), |bencher| bencher.iter(|| release.message(&message)));
        group.bench_function(format!("both, {instance}"), |bencher| {
            bencher.iter(|| parrot.through_sandbox(&handlers));
        });
    }
    let mut parrot = Parrot::new();
    parrot.natively()?;
    group.bench_function("both, native", |bencher| bencher.iter(|| parrot.natively()));
    group.finish();
    Ok(())
}
