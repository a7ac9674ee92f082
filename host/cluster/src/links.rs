//! What waits to be sent to each host. What has gathered while the bus was busy goes in one packet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::Bus;
use super::beat::ToAll;
use super::packet::{PIECE_BYTES_MAX, Packet, append};

/// What waits for all hosts.
pub(crate) struct Links {
    inner: Mutex<Inner>,
    bytes_max: usize,
    wake: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct Inner {
    links: BTreeMap<i32, Link>,
    /// The hosts for which something waits, in the order in which it began to.
    ready: VecDeque<i32>,
    to_all: VecDeque<Bytes>,
    gone: BTreeSet<i32>,
    /// Something was taken and is not with NATS yet.
    is_sending: bool,
}

/// What waits for one host.
#[derive(Default)]
struct Link {
    stream: BytesMut,
    /// How many bytes of the stream belong to a record whose beginning was sent.
    begun: usize,
    sent: u64,
}

/// What is to be sent next.
enum Next {
    Packet(i32, u64, u32, Bytes),
    ToAll(Bytes),
}

impl Links {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), bytes_max, wake: Notify::new(), emptied: Notify::new() }
    }

    /// Appends a record. True: nothing waited for the host before. An error: so many bytes wait already.
    pub(crate) fn push(&self, to: i32, record: &[u8]) -> Result<bool, usize> {
        let mut inner = self.lock();
        if inner.gone.contains(&to) {
            return Ok(false);
        }
        let link = inner.links.entry(to).or_default();
        let waiting = link.stream.len();
        if waiting > 0 && waiting + record.len() > self.bytes_max {
            return Err(waiting);
        }
        append(&mut link.stream, record);
        if waiting == 0 {
            inner.ready.push_back(to);
        }
        Ok(waiting == 0)
    }

    pub(crate) fn push_to_all(&self, record: &[u8]) {
        self.lock().to_all.push_back(Bytes::copy_from_slice(record));
    }

    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) fn forget(&self, host: i32) {
        let mut inner = self.lock();
        inner.links.remove(&host);
        inner.ready.retain(|ready| *ready != host);
        inner.gone.insert(host);
    }

    pub(crate) fn is_gone(&self, host: i32) -> bool {
        self.lock().gone.contains(&host)
    }

    /// The number of the last packet to each host.
    pub(crate) fn sent(&self) -> BTreeMap<i32, u64> {
        self.lock().links.iter().map(|(host, link)| (*host, link.sent)).collect()
    }

    /// Waits until nothing waits.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            {
                let inner = self.lock();
                if inner.ready.is_empty() && inner.to_all.is_empty() && !inner.is_sending {
                    return;
                }
            }
            emptied.await;
        }
    }

    fn next(&self) -> Option<Next> {
        let mut inner = self.lock();
        let next = inner.next();
        inner.is_sending = next.is_some();
        if next.is_none() {
            drop(inner);
            self.emptied.notify_waiters();
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn next(&mut self) -> Option<Next> {
        if let Some(record) = self.to_all.pop_front() {
            return Some(Next::ToAll(record));
        }
        let host = self.ready.pop_front()?;
        let link = self.links.get_mut(&host)?;
        let (first, piece) = link.take();
        if !link.stream.is_empty() {
            self.ready.push_back(host);
        }
        link.sent += 1;
        Some(Next::Packet(host, link.sent, first, piece))
    }
}

impl Link {
    /// The next piece of the stream, and where the first record begins in it.
    fn take(&mut self) -> (u32, Bytes) {
        let first = self.begun;
        let piece = self.stream.split_to(self.stream.len().min(PIECE_BYTES_MAX)).freeze();
        // Where the record ends that the piece breaks off in.
        let mut end = first;
        while let Some(length) =
            piece.get(end..end + 4).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes)
        {
            end += 4 + usize::try_from(length).unwrap_or(usize::MAX - 4 - end);
        }
        if end < piece.len() {
            // It breaks off in the length itself, which goes with the next one.
            let rest = piece.slice(end..);
            let mut stream = BytesMut::from(rest.as_ref());
            stream.extend_from_slice(&self.stream);
            self.stream = stream;
            self.begun = 0;
            return (u32::try_from(first).unwrap_or(u32::MAX), piece.slice(..end));
        }
        self.begun = end - piece.len();
        (u32::try_from(first).unwrap_or(u32::MAX), piece)
    }
}

/// Sends what waits, for as long as there is a bus.
pub(crate) async fn publish(bus: Weak<Bus>) {
    loop {
        let Some(bus) = bus.upgrade() else { return };
        while let Some(next) = bus.links.next() {
            match next {
                Next::ToAll(record) => bus.nats.tell_all(ToAll::Record { from: bus.no, record }.encode()).await,
                Next::Packet(to, number, first, piece) => {
                    let packet = Packet { from: bus.no, to, number, first, piece }.encode();
                    bus.counts.packets_sent.add(1);
                    bus.counts.bytes_sent.add(packet.len() as u64);
                    bus.nats.send(to, packet).await;
                }
            }
        }
        // What waits is noticed soon in any case: the bus may be gone meanwhile.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), bus.links.wake.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::packet::Reassembly;
    use super::*;

    fn taken(links: &Links) -> Vec<(i32, u64, u32, Bytes)> {
        let packet = |next| match next {
            Next::Packet(to, number, first, piece) => Some((to, number, first, piece)),
            Next::ToAll(_) => None,
        };
        std::iter::from_fn(|| links.next().and_then(packet)).collect()
    }

    #[test]
    fn what_has_gathered_for_a_host_is_one_packet() {
        let links = Links::new(1_000);
        assert_eq!([links.push(2, b"a"), links.push(2, b"b"), links.push(3, b"c")], [Ok(true), Ok(false), Ok(true)]);
        let packets = taken(&links);
        let heads: Vec<_> =
            packets.iter().map(|(to, number, first, piece)| (*to, *number, *first, piece.len())).collect();
        assert_eq!(heads, [(2, 1, 0, 10), (3, 1, 0, 5)]);
        assert_eq!(links.push(2, b"d"), Ok(true));
        assert_eq!(taken(&links).first().map(|packet| packet.1), Some(2));
        assert_eq!(links.sent(), BTreeMap::from([(2, 2), (3, 1)]));
    }

    #[test]
    fn more_than_may_wait_is_refused_and_a_host_that_is_gone_takes_nothing() {
        let links = Links::new(10);
        assert_eq!([links.push(2, &[0; 20]), links.push(2, b"b")], [Ok(true), Err(24)]);
        links.forget(2);
        assert_eq!(links.push(2, b"c"), Ok(false));
        assert!(taken(&links).is_empty());
    }

    #[test]
    fn a_long_record_is_cut_and_each_piece_says_where_the_first_record_begins() {
        for length in (PIECE_BYTES_MAX - 20)..(PIECE_BYTES_MAX + 20) {
            let links = Links::new(usize::MAX);
            let records = [vec![1; length], vec![2; 3], vec![3; PIECE_BYTES_MAX * 2], vec![4]];
            for record in &records {
                links.push(2, record).unwrap();
            }
            let packets = taken(&links);
            let (mut stream, mut read) = (Reassembly::default(), Vec::new());
            for (_, _, _, piece) in &packets {
                assert!(piece.len() <= PIECE_BYTES_MAX);
                stream.push(piece);
                read.extend(std::iter::from_fn(|| stream.next()));
            }
            assert_eq!(read, records);
            // A reader that begins at any packet finds whole records.
            for skipped in 1..packets.len() {
                let (mut stream, mut read) = (Reassembly::default(), Vec::new());
                for (index, (_, _, first, piece)) in packets.iter().skip(skipped).enumerate() {
                    let first = *first as usize;
                    stream.push(if index == 0 {
                        piece.get(first..).unwrap_or_default()
                    } else if read.is_empty() && first >= piece.len() {
                        &[]
                    } else {
                        piece
                    });
                    read.extend(std::iter::from_fn(|| stream.next()));
                }
                assert!(read.iter().all(|record| records.iter().any(|known| known == record)), "{length} {skipped}");
            }
        }
    }
}
