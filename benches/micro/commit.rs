//! A commit of several sizes, on the disk and in the operating system's hands. The messages are made and handed over
//! within the time: some 0.2 µs each.

use std::path::Path;

use criterion::{Criterion, Throughput};
use ondol_host_store::Synchronous;

use crate::TARGET;
use crate::inside::Disk;

pub(crate) fn measure(criterion: &mut Criterion) -> anyhow::Result<()> {
    let scratch = Path::new(TARGET).join("bench");
    std::fs::create_dir_all(&scratch)?;
    let mut group = criterion.benchmark_group("commit");
    for (name, synchronous) in [("full", Synchronous::Full), ("normal", Synchronous::Normal)] {
        for messages in [1, 16, 256_u16] {
            let directory = tempfile::TempDir::with_prefix_in("micro-", &scratch)?;
            let mut disk = Disk::create(directory.path(), synchronous, 1)?;
            disk.commit(messages.into())?;
            group.throughput(Throughput::Elements(messages.into()));
            group.bench_function(format!("{messages}, {name}"), |bencher| {
                bencher.iter(|| disk.commit(messages.into()));
            });
            // A commit that failed before would make the numbers of this one wrong.
            disk.commit(messages.into())?;
        }
    }
    group.finish();
    Ok(())
}
