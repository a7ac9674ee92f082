//! Users' messages in a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that fails should say where")]

use super::*;
use crate::postgres::release_history::ReleaseHistory;
use crate::postgres::testing::Testing;

async fn found(readers: &Readers, user: &str, room: Option<u64>) -> Vec<(u64, u64)> {
    let mut search = search_user(readers, user.to_owned(), room.map(RoomId)).await.unwrap();
    let mut all = Vec::new();
    while let Some(found) = found_next(readers, &mut search).await.unwrap() {
        all.extend(found.into_iter().map(|(room, seq)| (room.0, seq.0)));
    }
    all
}

#[tokio::test]
async fn a_users_messages_are_found_in_pieces() {
    let Some(testing) = Testing::new().await else { return };
    let many: Vec<u64> = (1..=SCANNED.unsigned_abs() * 2).collect();
    testing.room(3, &[1, 2], 2, "ann");
    testing.room(4, &many, 10_000, "ben");
    testing.room(5, &[1, 9], 9, "ann");
    assert_eq!(found(&testing.readers, "ann", None).await, [(3, 1), (3, 2), (5, 1), (5, 9)]);
    assert_eq!(found(&testing.readers, "ann", Some(5)).await, [(5, 1), (5, 9)]);
    assert_eq!(found(&testing.readers, "ben", None).await.len(), many.len());
    assert_eq!(found(&testing.readers, "eve", None).await, []);
}

#[tokio::test]
async fn senders_without_messages_are_removed() {
    let Some(testing) = Testing::new().await else { return };
    testing.room(3, &[1], 1, "ann");
    testing.room(4, &[1], 1, "ben");
    testing.room(5, &[], 0, "cat");
    // One that was retired before, and still has a message.
    testing.sql("UPDATE sender SET retired = true WHERE usr = 'ben'; DELETE FROM message WHERE room = 3");
    let writers = ReleaseHistory::writers(&testing.connector).unwrap();
    let remove = async |senders| remove_unused_senders(&testing.readers, &writers, senders).await.unwrap();
    let left = || {
        testing.sql(
            "SELECT string_agg(usr || CASE WHEN retired THEN ' retired' ELSE '' END, ', ' ORDER BY usr) FROM sender",
        )
    };
    let ann = testing.sql("SELECT n FROM sender WHERE usr = 'ann'").parse().unwrap();
    remove(vec![ann]).await;
    assert_eq!(left(), "ben retired, cat");
    testing.sql("DELETE FROM message");
    remove(all_senders(&testing.readers).await.unwrap()).await;
    assert_eq!(left(), "");
}
