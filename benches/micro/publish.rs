//! A publish to rooms of several sizes, over wires that take everything: what the fan-out costs beside the sockets.

use std::io;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use ondol_host_rooms::{Outbox, Rest, Room, Wire};

/// As long as the event of a message of 100 bytes.
const PAYLOAD_BYTES: usize = 300;

/// A wire that takes whatever it is given.
struct Everything;

impl Wire for Everything {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(std::hint::black_box(bytes).len())
    }
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let payload = "x".repeat(PAYLOAD_BYTES);
    let mut group = criterion.benchmark_group("publish");
    for members in [1, 50, 1_000_u64] {
        let room = Room::default();
        let outbox = |_| Arc::new(Outbox::new(Arc::new(Everything), PAYLOAD_BYTES));
        for (user, outbox) in (0..members).map(outbox).enumerate() {
            room.join(&user.to_string(), &outbox);
        }
        group.throughput(Throughput::Elements(members));
        group.bench_function(format!("room of {members}"), |bencher| {
            bencher.iter(|| room.put(&payload, None, None) && room.publish() == Rest::Nothing);
        });
    }
    group.finish();
}
