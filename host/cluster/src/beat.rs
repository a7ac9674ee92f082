//! What a host says to all: that it lives, with the last packet that it sent to each other host; or a record.

use std::collections::BTreeMap;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::packet::PROTO;

/// Something said to all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToAll {
    Beat { from: i32, release: i64, sent: BTreeMap<i32, u64> },
    Record { from: i32, record: Bytes },
}

impl ToAll {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u8(PROTO);
        match self {
            Self::Beat { from, release, sent } => {
                bytes.put_u8(0);
                bytes.put_i32_le(*from);
                bytes.put_i64_le(*release);
                for (to, number) in sent {
                    bytes.put_i32_le(*to);
                    bytes.put_u64_le(*number);
                }
            }
            Self::Record { from, record } => {
                bytes.put_u8(1);
                bytes.put_i32_le(*from);
                bytes.put_slice(record);
            }
        }
        bytes.freeze()
    }

    /// None: this is neither, or of another form.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.remaining() < 6 || bytes.get_u8() != PROTO {
            return None;
        }
        let (kind, from) = (bytes.get_u8(), bytes.get_i32_le());
        if kind == 1 {
            return Some(Self::Record { from, record: bytes });
        }
        if kind != 0 || bytes.remaining() < 8 {
            return None;
        }
        let release = bytes.get_i64_le();
        let mut sent = BTreeMap::new();
        while bytes.remaining() >= 12 {
            let to = bytes.get_i32_le();
            sent.insert(to, bytes.get_u64_le());
        }
        Some(Self::Beat { from, release, sent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_said_to_all_comes_back(from: i32, release: i64, sent: BTreeMap<i32, u64>, record: Vec<u8>) {
            for said in [ToAll::Beat { from, release, sent: sent.clone() }, ToAll::Record { from, record: Bytes::from(record) }] {
                prop_assert_eq!(ToAll::decode(said.encode()), Some(said));
            }
        }

        #[test]
        fn garbage_is_nothing(bytes: Vec<u8>) {
            drop(ToAll::decode(Bytes::from(bytes)));
        }
    }
}
