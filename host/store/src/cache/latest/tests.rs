//! Reads that meet commits, deletions and each other.

use ondol_host_model::Seq;

use super::*;
use crate::sqlite::tests::message;

const ROOM: RoomId = RoomId(1);

fn asked(page: Page) -> Asked {
    Asked { room: ROOM, page, limit: 50, bytes_max: usize::MAX }
}

fn commit(latest: &Latest, seq: u64) {
    latest.committed([Arc::new(message(seq, "text"))].iter());
}

fn read(last: u64) -> Result<Ring, StoreError> {
    Ok(Ring::new(Seq(1), Seq(last), (1..=last).map(|seq| message(seq, "text")).collect()))
}

async fn seqs(latest: &Latest, found: Result<Ring, StoreError>) -> Option<Vec<u64>> {
    let page = latest.page(asked(Page::Latest), async || found).await.unwrap();
    page.map(|messages| messages.iter().map(|message| message.seq.0).collect())
}

#[tokio::test]
async fn a_commit_during_the_read_is_on_the_page_once() {
    let latest = Latest::new(1 << 20);
    let page = latest.page(asked(Page::Latest), async || {
        // The read has seen the first of the two.
        commit(&latest, 3);
        commit(&latest, 4);
        read(3)
    });
    let seqs: Vec<_> = page.await.unwrap().into_iter().flatten().map(|message| message.seq.0).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_read_that_began_before_a_deletion_is_not_kept() {
    let latest = Latest::new(1 << 20);
    let page = latest.page(asked(Page::Latest), async || {
        latest.forget(ROOM);
        read(3)
    });
    assert!(page.await.unwrap().is_none(), "the page has to be read");
    assert_eq!(seqs(&latest, read(2)).await, Some(vec![1, 2]));
}

#[tokio::test]
async fn a_failed_read_is_repeated_by_the_next_reader() {
    let latest = Latest::new(1 << 20);
    let failed = latest.page(asked(Page::Latest), async || Err(StoreError::Closed)).await;
    assert!(matches!(failed, Err(StoreError::Closed)));
    assert_eq!(seqs(&latest, read(1)).await, Some(vec![1]));
}

#[tokio::test]
async fn an_abandoned_read_is_taken_over() {
    let latest = Latest::new(1 << 20);
    let abandoned = latest.page(asked(Page::Latest), std::future::pending::<Result<Ring, StoreError>>);
    assert!(tokio::time::timeout(std::time::Duration::ZERO, abandoned).await.is_err());
    commit(&latest, 2);
    assert_eq!(seqs(&latest, read(1)).await, Some(vec![1, 2]));
}

#[tokio::test]
async fn the_rooms_that_were_read_last_stay_within_the_limit() {
    let latest = Latest::new(100_000);
    for number in 1..=200 {
        let asked = Asked { room: RoomId(number), ..asked(Page::Latest) };
        latest.page(asked, async || read(5)).await.unwrap();
        assert!(latest.lock().bytes <= 100_000);
    }
    let rooms = latest.lock().rooms.len();
    assert!(rooms > 20 && rooms < 200, "{rooms}");
    assert!(latest.lock().rooms.peek(&RoomId(200)).is_some() && latest.lock().rooms.peek(&RoomId(1)).is_none());
    latest.clear();
    assert_eq!(latest.lock().bytes, 0);
}

#[tokio::test]
async fn without_memory_nothing_is_kept() {
    let latest = Latest::new(0);
    assert_eq!(seqs(&latest, read(1)).await, None);
}
