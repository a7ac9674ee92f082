//! What is compared: the number of rows, and a digest of all their fields that does not depend on their order.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::value::{Row, Value};

/// The number and the digest of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    rows: u64,
    /// The sum of the rows' digests, in two halves.
    sum: [u128; 2],
}

/// The messages of each room.
#[derive(Debug, Default)]
pub(crate) struct MessageTallies {
    rooms: HashMap<i64, RoomTally>,
    count: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct RoomTally {
    tally: Tally,
    last_seq: i64,
    last_id: i64,
}

impl Tally {
    /// Adds a row.
    pub(crate) fn add(&mut self, row: &[Value]) {
        let [low, high] = &mut self.sum;
        let digest = digest(row);
        let (one, other) = digest.split_at(digest.len() / 2);
        let half = |bytes: &[u8]| bytes.try_into().map_or(0, u128::from_be_bytes);
        (*low, *high) = (low.wrapping_add(half(one)), high.wrapping_add(half(other)));
        self.rows += 1;
    }

    /// The number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }
}

impl MessageTallies {
    /// Adds a row of the table of messages, whose first columns are room, `seq` and id.
    pub(crate) fn add(&mut self, row: &Row) {
        let mut numbers = row.iter().map(Value::int);
        let [room, seq, id] = [(); 3].map(|()| numbers.next().unwrap_or(0));
        let known = self.rooms.entry(room).or_default();
        known.tally.add(row);
        (known.last_seq, known.last_id) = (known.last_seq.max(seq), known.last_id.max(id));
        self.count += 1;
    }

    /// The number of messages in all rooms.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The id of the last message of a room, 0 if it has none.
    pub(crate) fn last_id(&self, room: i64) -> i64 {
        self.rooms.get(&room).map_or(0, |room| room.last_id)
    }

    /// The highest id.
    pub(crate) fn id_max(&self) -> i64 {
        self.rooms.values().map(|room| room.last_id).max().unwrap_or(0)
    }

    /// The first room that differs, and how. None: all are the same.
    pub(crate) fn difference(&self, found: &Self) -> Option<String> {
        let none = RoomTally::default();
        let mut rooms: Vec<_> = self.rooms.keys().chain(found.rooms.keys()).collect();
        rooms.sort_unstable();
        let of = |tallies: &Self, room| tallies.rooms.get(room).unwrap_or(&none).clone();
        let pairs = rooms.into_iter().map(|room| (room, of(self, room), of(found, room)));
        let (room, read, there) = pairs.into_iter().find(|(_, read, there)| read != there)?;
        let shown = |room: &RoomTally| {
            format!("{} messages up to seq {} and id {}", room.tally.rows, room.last_seq, room.last_id)
        };
        let (read, there) = (shown(&read), shown(&there));
        Some(if read == there {
            format!("room {room}: the digests of its {read} differ")
        } else {
            format!("room {room}: the file has {read}, and PostgreSQL {there}")
        })
    }
}

/// The digest of a row: of the type, the length and the bytes of each value.
pub(crate) fn digest(row: &[Value]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for value in row {
        let kind: &[u8] = match value {
            Value::Null => b"n",
            Value::Int(_) => b"i",
            Value::Text(_) => b"t",
            Value::Bytes(_) => b"b",
        };
        hasher.update(kind);
        hasher.update((value.len() as u64).to_be_bytes());
        match value {
            Value::Null => {}
            Value::Int(int) => hasher.update(int.to_be_bytes()),
            Value::Text(text) => hasher.update(text.as_bytes()),
            Value::Bytes(bytes) => hasher.update(bytes),
        }
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(room: i64, seq: i64, text: &str) -> Row {
        vec![Value::Int(room), Value::Int(seq), Value::Int(seq * 3), Value::Text(text.to_owned()), Value::Null]
    }

    fn tallies(rows: &[Row]) -> MessageTallies {
        let mut tallies = MessageTallies::default();
        rows.iter().for_each(|row| tallies.add(row));
        tallies
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_their_fields_do() {
        let rows = [message(1, 1, "a"), message(1, 2, "b"), message(2, 1, "c")];
        let [one, two, three] = rows.clone();
        assert_eq!(tallies(&rows).difference(&tallies(&[three.clone(), two.clone(), one.clone()])), None);
        let other_text = tallies(&[one.clone(), two.clone(), message(2, 1, "d")]);
        let found = tallies(&rows).difference(&other_text).unwrap();
        assert_eq!(found, "room 2: the digests of its 1 messages up to seq 1 and id 3 differ");
        let found = tallies(&rows).difference(&tallies(&[one, three])).unwrap();
        let expected =
            "room 1: the file has 2 messages up to seq 2 and id 6, and PostgreSQL 1 messages up to seq 1 and id 3";
        assert_eq!(found, expected);
        assert!(tallies(&[]).difference(&tallies(&[two])).is_some(), "a room too many");
    }

    #[test]
    fn no_two_rows_are_written_alike() {
        let text = |text: &str| Value::Text(text.to_owned());
        let rows = [
            vec![text("ab"), text("")],
            vec![text("a"), text("b")],
            vec![text("a"), Value::Bytes(b"b".to_vec())],
            vec![text("ab"), Value::Null],
            vec![Value::Null, text("ab")],
            vec![text("ab")],
        ];
        for (index, row) in rows.iter().enumerate() {
            assert!(rows.iter().skip(index + 1).all(|other| digest(other) != digest(row)), "{row:?}");
        }
    }
}
