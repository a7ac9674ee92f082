//! Reads against a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails should say where")]

use super::*;
use crate::page::Cut;
use crate::postgres::testing::{Testing, message};

/// Numbers up to `last` with gaps, which differ from seed to seed.
fn with_gaps(last: u64, seed: u64) -> Vec<u64> {
    let is_there = |seq: &u64| (seq * 2_654_435_761 + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 62 > seed % 3;
    (1..=last).filter(is_there).collect()
}

/// What a message is, to compare it.
fn parts(message: &Message) -> (u64, u64, u64, u64, [String; 5]) {
    let (draft, sender) = (&message.draft, &message.sender);
    let client_id = draft.client_id.clone().unwrap_or_default();
    let texts = [sender.id.clone(), sender.nickname.clone(), sender.email.clone(), draft.text.clone(), client_id];
    (message.id.0, message.room.0, message.seq.0, message.created_at.0, texts)
}

fn all_parts(messages: &[Message]) -> Vec<(u64, u64, u64, u64, [String; 5])> {
    messages.iter().map(parts).collect()
}

/// A page as its definition says.
fn page_of(seqs: &[u64], page: Page, limit: usize, bytes_max: usize) -> Vec<Message> {
    let messages = seqs.iter().map(|seq| message(7, *seq, "ann"));
    let mut cut = Cut::new(bytes_max);
    let mut found: Vec<_> = match page {
        Page::After(seq) => messages.filter(|message| message.seq > seq).collect(),
        Page::Before(seq) => messages.filter(|message| message.seq < seq).rev().collect(),
        Page::Latest => messages.rev().collect(),
    };
    found.truncate(limit);
    found = found.into_iter().take_while(|message| cut.takes(message)).collect();
    found.sort_by_key(|message| message.seq);
    found
}

#[tokio::test]
async fn pages_are_filled_over_gaps_up_to_their_bytes() {
    for seed in 0..3 {
        let Some(testing) = Testing::new().await else { return };
        let seqs = with_gaps(120, seed);
        testing.room(7, &seqs, 120, "ann");
        testing.room(8, &[1, 2, 3], 3, "ben");
        for (limit, bytes_max) in [(0, usize::MAX), (1, 1), (5, 2_000), (50, 9_000), (500, usize::MAX)] {
            let reading = testing.reading(bytes_max);
            for from in (0..=124).step_by(9).chain([u64::MAX]) {
                for page in [Page::Latest, Page::After(Seq(from)), Page::Before(Seq(from))] {
                    let found = reading.messages(RoomId(7), page, limit).await.unwrap();
                    let expected = page_of(&seqs, page, limit, bytes_max);
                    assert_eq!(all_parts(&found), all_parts(&expected), "{seed} {page:?} {limit} {bytes_max}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_remembered_answers_as_the_database_does() {
    let Some(testing) = Testing::new().await else { return };
    let seqs = with_gaps(600, 1);
    testing.room(7, &seqs, 600, "ann");
    let reading = Reading::new(Arc::clone(&testing.readers), Arc::clone(&testing.cache), 20_000);
    for page in [Page::Latest, Page::After(Seq(560)), Page::Before(Seq(590)), Page::Before(Seq(40))] {
        let found = reading.messages(RoomId(7), page, 20).await.unwrap();
        assert_eq!(all_parts(&found), all_parts(&page_of(&seqs, page, 20, 20_000)), "{page:?}");
    }
    assert_eq!(reading.reads(), 2, "one for memory, one for old messages");
    assert!(reading.messages(RoomId(9), Page::Latest, 20).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_message_is_found_by_its_id_and_by_its_client_id() {
    let Some(testing) = Testing::new().await else { return };
    let seqs = with_gaps(200, 2);
    testing.room(7, &seqs, 200, "ann");
    testing.sql("UPDATE room SET first_seq = 11; DELETE FROM message WHERE seq < 11");
    let reading = testing.reading(usize::MAX);
    for id in (0..=610).chain([u64::MAX]) {
        let exists = id % 3 == 0 && id / 3 >= 11 && seqs.contains(&(id / 3));
        assert_eq!(reading.has_message(RoomId(7), MessageId(id)).await.unwrap(), exists, "{id}");
    }
    assert!(!reading.has_message(RoomId(8), MessageId(33)).await.unwrap());
    let last = *seqs.last().unwrap();
    let find = |sender: &str, client_id: String| reading.by_client_id(RoomId(7), sender.to_owned(), client_id);
    let found = find("ann", format!("c{last}")).await.unwrap();
    assert_eq!(found.as_ref().map(parts), Some(parts(&message(7, last, "ann"))));
    assert!(find("ben", format!("c{last}")).await.unwrap().is_none());
    assert!(find("ann", "c1000".to_owned()).await.unwrap().is_none());
    assert_eq!(
        (reading.last_seq(RoomId(7)).await.unwrap(), reading.last_seq(RoomId(8)).await.unwrap()),
        (Seq(200), Seq(0))
    );
}

#[tokio::test]
async fn rooms_and_deletions_are_read() {
    let Some(testing) = Testing::new().await else { return };
    for room in [3, 5, 9] {
        testing.room(room, &[], 0, "ann");
    }
    let reading = testing.reading(usize::MAX);
    let ids = |rooms: Vec<Room>| rooms.iter().map(|room| room.id.0).collect::<Vec<_>>();
    assert_eq!(ids(reading.rooms(RoomId(3), 10).await.unwrap()), [5, 9]);
    assert_eq!(ids(reading.rooms(RoomId(0), 2).await.unwrap()), [3, 5]);
    assert_eq!(reading.room(RoomId(5)).await.unwrap().unwrap().name, "lobby");
    assert_eq!(reading.room(RoomId(6)).await.unwrap(), None);
    testing.sql("INSERT INTO deletion (room, seq, id, at_seq, deleted_at) VALUES (3, 1, 3, 5, 0), (3, 4, 12, 6, 0), (3, 2, 6, 6, 0), (5, 1, 3, 9, 0)");
    let seqs = async |since, known, limit| {
        let found = reading.deletions(RoomId(3), Seq(since), Seq(known), limit).await.unwrap();
        found.iter().map(|deleted| deleted.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(seqs(0, 9, 9).await, [1, 4, 2]);
    assert_eq!(seqs(6, 9, 9).await, [4, 2]);
    assert_eq!(seqs(0, 3, 9).await, [1, 2]);
    assert_eq!(seqs(0, 9, 2).await, [4, 2]);
}

#[tokio::test]
async fn a_read_goes_on_after_its_connection_was_ended() {
    let Some(testing) = Testing::new().await else { return };
    testing.room(7, &[1], 1, "ann");
    let reading = testing.reading(usize::MAX);
    for _ in 0..3 {
        assert_eq!(reading.messages(RoomId(7), Page::Latest, 9).await.unwrap().len(), 1);
        testing.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    }
    testing.readers.close();
    assert!(matches!(reading.last_seq(RoomId(7)).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_page_and_a_search_by_id_use_the_index_however_much_is_stored() {
    let Some(testing) = Testing::new().await else { return };
    testing.room(7, &[1], 100_000, "ann");
    testing.sql(
        "INSERT INTO message (room, seq, id, sender, created_at, text) SELECT 7, n, n * 3, 1, 0, 'x' \
         FROM generate_series(2, 100000) n; ANALYZE",
    );
    let reading = testing.reading(usize::MAX);
    let fetched = async |client: &Lent| {
        let sql = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'message'";
        client.query_one(sql, &[]).await?.try_get::<_, i64>(0)
    };
    // More often than a plan is made for the values that are asked for.
    for from in (0..20).map(|step| step * 5_000) {
        let read = move |client: Lent| async move {
            client.batch_execute("BEGIN").await?;
            // The counts of earlier transactions may be among them.
            let before = fetched(&client).await?;
            for page in [Page::Latest, Page::After(Seq(from)), Page::Before(Seq(from + 100))] {
                let found = pages::read(&client, RoomId(7), page, 50, usize::MAX).await?;
                assert_eq!(found.messages.len(), 50);
            }
            let count = fetched(&client).await? - before;
            client.batch_execute("COMMIT").await?;
            Ok(count)
        };
        assert_eq!(testing.readers.read(read).await.unwrap(), 150);
        assert!(reading.has_message(RoomId(7), MessageId(from * 3 + 3)).await.unwrap());
    }
}
