//! A publish to rooms of several sizes, over connections that accept everything: the fan-out without its sockets.

use std::io;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use ondol::rooms::{Outbox, Rest, Room, Wire};

/// The event of a message of 100 bytes.
const PAYLOAD_BYTES: usize = 300;

/// A connection that accepts everything.
struct Sink;

impl Wire for Sink {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(std::hint::black_box(bytes).len())
    }
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let payload = "x".repeat(PAYLOAD_BYTES);
    let mut group = criterion.benchmark_group("publish");
    for members in [1, 50, 1_000_u64] {
        let room = Room::default();
        for user in 0..members {
            room.join(&user.to_string(), &Arc::new(Outbox::new(Arc::new(Sink), PAYLOAD_BYTES)));
        }
        group.throughput(Throughput::Elements(members));
        group.bench_function(format!("room of {members}"), |bencher| {
            bencher.iter(|| room.put(&payload, None, None) && room.publish() == Rest::Nothing);
        });
    }
    group.finish();
}
