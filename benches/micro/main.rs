//! Microbenchmarks of what a message passes through: a call into a component, a publish to a room, a commit. Each alone,
//! in this process, with nothing else to do.

mod call;
mod commit;
mod publish;

#[path = "../src/inside.rs"]
mod inside;

use criterion::Criterion;

/// The workspace's target directory, with the handlers and with room on the disk that counts.
const TARGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    call::measure(&mut criterion)?;
    publish::measure(&mut criterion);
    commit::measure(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
