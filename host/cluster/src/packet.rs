//! A packet as bytes: who sends it to whom, its number, and a piece of the stream of records between the two. A record is its
//! length and its bytes; a long one goes on in the next packets.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// The version of what hosts say to each other: of packets, and of what is in them. Each change of either makes another one,
/// and hosts of different versions do not live beside each other.
pub const PROTO: u8 = 1;

/// The most bytes of the stream in one packet: NATS takes 1 MiB at a time by default.
pub(crate) const PIECE_BYTES_MAX: usize = 512 << 10;

/// The longest record.
const RECORD_BYTES_MAX: usize = 256 << 20;

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) from: i32,
    pub(crate) to: i32,
    /// From 1 for each pair of hosts.
    pub(crate) number: u64,
    /// Where the first record begins in the piece. At its end or beyond: none does.
    pub(crate) first: u32,
    pub(crate) piece: Bytes,
}

impl Packet {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(21 + self.piece.len());
        bytes.put_u8(PROTO);
        bytes.put_i32_le(self.from);
        bytes.put_i32_le(self.to);
        bytes.put_u64_le(self.number);
        bytes.put_u32_le(self.first);
        bytes.put_slice(&self.piece);
        bytes.freeze()
    }

    /// None: this is none, or one of another form.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.remaining() < 21 || bytes.get_u8() != PROTO {
            return None;
        }
        let (from, to) = (bytes.get_i32_le(), bytes.get_i32_le());
        let (number, first) = (bytes.get_u64_le(), bytes.get_u32_le());
        Some(Self { from, to, number, first, piece: bytes })
    }
}

/// Appends a record to a stream.
pub(crate) fn append(stream: &mut BytesMut, record: &[u8]) {
    stream.put_u32_le(u32::try_from(record.len()).unwrap_or(u32::MAX));
    stream.put_slice(record);
}

/// The records of a stream, as it comes in.
#[derive(Default)]
pub(crate) struct Reassembly(BytesMut);

impl Reassembly {
    /// Something is missing: what was begun is not whole.
    pub(crate) fn reset(&mut self) {
        self.0.clear();
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// The next record that is whole.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let length = self.0.get(..4)?.try_into().ok().map(u32::from_le_bytes)?;
        let length = usize::try_from(length).ok()?;
        if length > RECORD_BYTES_MAX || self.0.len() < 4 + length {
            return None;
        }
        self.0.advance(4);
        Some(self.0.split_to(length).freeze())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_packet_comes_back(from: i32, to: i32, number: u64, first: u32, piece: Vec<u8>) {
            let packet = Packet { from, to, number, first, piece: Bytes::from(piece) };
            prop_assert_eq!(Packet::decode(packet.encode()), Some(packet));
        }

        #[test]
        fn garbage_is_no_packet_and_no_record(bytes: Vec<u8>) {
            drop(Packet::decode(Bytes::from(bytes.clone())));
            let mut stream = Reassembly::default();
            stream.push(&bytes);
            while stream.next().is_some() {}
        }

        #[test]
        fn records_come_back_however_the_stream_is_cut(records: Vec<Vec<u8>>, cut in 1..40_usize) {
            let mut stream = BytesMut::new();
            records.iter().for_each(|record| append(&mut stream, record));
            let (mut incoming, mut read) = (Reassembly::default(), Vec::new());
            for piece in stream.chunks(cut) {
                incoming.push(piece);
                read.extend(std::iter::from_fn(|| incoming.next()).map(|record| record.to_vec()));
            }
            prop_assert_eq!(read, records);
        }
    }
}
