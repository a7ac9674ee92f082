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
async fn a_search_ends_although_the_user_goes_on() {
    let Some(testing) = Testing::new().await else { return };
    testing.room(3, &[1, 2], 2, "ann");
    let mut search = search_user(&testing.readers, "ann".to_owned(), None).await.unwrap();
    testing.room(4, &[1, 2], 2, "ann");
    testing.sql("UPDATE message SET id = nextval('message_id') WHERE room = 4");
    let mut all = Vec::new();
    while let Some(found) = found_next(&testing.readers, &mut search).await.unwrap() {
        all.extend(found.into_iter().map(|(room, seq)| (room.0, seq.0)));
    }
    assert_eq!(all, [(3, 1), (3, 2)]);
    assert_eq!(found(&testing.readers, "ann", None).await.len(), 4);
}

#[tokio::test]
async fn any_number_of_senders_is_removed() {
    let Some(testing) = Testing::new().await else { return };
    testing.room(3, &[1], 1, "ann");
    let many = SENDERS * 2 + 1;
    testing.sql(&format!(
        "INSERT INTO sender (usr, nickname, email) SELECT 'user ' || n, '', '' FROM generate_series(1, {many}) n"
    ));
    let writers = ReleaseHistory::writers(&testing.connector).unwrap();
    let all = all_senders(&testing.readers).await.unwrap();
    assert_eq!(all.len(), many + 1);
    remove_unused_senders(&testing.readers, &writers, all).await.unwrap();
    assert_eq!(testing.sql("SELECT string_agg(usr, ', ') FROM sender"), "ann");
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
