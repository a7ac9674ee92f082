//! What of a commit is in the files, and when.

#![allow(clippy::unwrap_used, reason = "a test says what it expects")]

use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::config::Synchronous;
use crate::store::setup;

const NAME_OF_FILE: &str = "chat.db";
const PAGE_BYTES: usize = 4_096;
const FRAME_BYTES: i64 = (HEADER_BYTES + PAGE_BYTES) as i64;

fn header(pages_after: u8) -> [u8; HEADER_BYTES] {
    let mut header = [1; HEADER_BYTES];
    header[4..8].copy_from_slice(&[0, 0, 0, pages_after]);
    header
}

/// Appends a frame, and says what became of its page.
fn append(held: &mut Held, pages_after: u8) -> Taken {
    assert_eq!(held.take(&header(pages_after), held.end()), Taken::Held);
    held.take(&[2; PAGE_BYTES], held.end())
}

#[test]
fn frames_are_held_until_the_one_that_commits() {
    let mut held = Held { from: 32, ..Held::default() };
    for _ in 0..3 {
        assert_eq!(append(&mut held, 0), Taken::Held);
    }
    assert_eq!(append(&mut held, 7), Taken::Due);
    assert_eq!(held.bytes.len() as i64, 4 * FRAME_BYTES);
    held.let_go(true);
    assert_eq!((held.bytes.len(), held.from), (0, 32 + 4 * FRAME_BYTES));
    assert_eq!(append(&mut held, 7), Taken::Due);
    held.let_go(false);
    assert_eq!(held.from, 32 + 4 * FRAME_BYTES, "where it failed");
}

#[test]
fn a_transaction_that_is_long_is_written_in_pieces_that_sqlite_takes() {
    for page_bytes in [512, PAGE_BYTES, 65_536] {
        let (mut held, mut pieces) = (Held::default(), 0);
        for _ in 0..2_000 {
            assert_eq!(held.take(&header(0), held.end()), Taken::Held);
            if held.take(&vec![2; page_bytes], held.end()) == Taken::Due {
                assert!(held.bytes.len() < 1 << 17, "{}", held.bytes.len());
                held.let_go(true);
                pieces += 1;
            }
        }
        assert!(pieces > 10, "{pieces} of pages of {page_bytes}");
    }
}

#[test]
fn nothing_is_held_but_what_is_appended_as_a_frame() {
    let start = Held { from: 1_000, ..Held::default() };
    let fresh = || Held { from: start.from, ..Held::default() };
    for (what, bytes, at) in [
        ("a log's header", 32, 0),
        ("a page alone", PAGE_BYTES, 1_000),
        ("a frame's header elsewhere", HEADER_BYTES, 999),
        ("nothing", 0, 1_000),
    ] {
        let mut held = fresh();
        assert_eq!(held.take(&vec![1; bytes], at), Taken::No, "{what}");
        assert_eq!((held.bytes.len(), held.begun), (0, None), "{what}");
    }
    let mut held = fresh();
    assert_eq!(held.take(&header(1), 1_000), Taken::Held);
    assert_eq!(held.take(&[1; PAGE_BYTES], 5_000), Taken::No, "the page of another frame");
    assert_eq!((held.bytes.len(), held.begun), (HEADER_BYTES, None));
}

/// A database as a crash would leave it now: what the system has of its files, opened by SQLite's own VFS.
fn crashed(directory: &Path) -> (tempfile::TempDir, Connection) {
    let copy = tempfile::tempdir().unwrap();
    for file in [NAME_OF_FILE.to_owned(), format!("{NAME_OF_FILE}-wal")] {
        std::fs::copy(directory.join(&file), copy.path().join(&file)).unwrap();
    }
    let connection = Connection::open(copy.path().join(NAME_OF_FILE)).unwrap();
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    (copy, connection)
}

fn sums(connection: &Connection) -> (i64, i64) {
    let sql = "SELECT count(*), coalesce(sum(n * length(text)), 0) FROM said";
    connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[test]
fn what_is_committed_is_in_the_files_and_nothing_else() {
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME_OF_FILE);
        let mut writer = setup::open(&path, synchronous).unwrap();
        writer.execute_batch("CREATE TABLE said (n INTEGER PRIMARY KEY, text TEXT) STRICT").unwrap();
        // So few that a transaction goes to the log before its end, is read from there, and is written there again.
        writer.pragma_update(None, "cache_size", 10).unwrap();
        let insert = "INSERT INTO said (text) WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1) \
                      SELECT hex(randomblob(?2)) FROM n";
        for round in 1..=30 {
            writer.execute(insert, (1, 60)).unwrap();
            let transaction = writer.transaction().unwrap();
            transaction.execute(insert, (round * 20, 500)).unwrap();
            transaction.execute("UPDATE said SET text = text || 'x' WHERE n % 3 = 0", []).unwrap();
            transaction.execute_batch("SAVEPOINT part").unwrap();
            transaction.execute("UPDATE said SET text = text || 'y' WHERE n % 7 = 0", []).unwrap();
            transaction.execute_batch("ROLLBACK TO part; RELEASE part").unwrap();
            transaction.commit().unwrap();
            let committed = sums(&writer);
            assert_eq!(sums(&crashed(directory.path()).1), committed, "round {round}");
            let transaction = writer.transaction().unwrap();
            transaction.execute(insert, (round * 20, 500)).unwrap();
            assert_ne!(sums(&transaction), committed);
            assert_eq!(sums(&crashed(directory.path()).1), committed, "round {round}, in the midst of a transaction");
            transaction.rollback().unwrap();
            assert_eq!(sums(&writer), committed);
            if round % 4 == 0 {
                let checkpoints = setup::open_for_checkpoints(&path, synchronous).unwrap();
                checkpoints.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
                assert_eq!(sums(&setup::open_reader(&path).unwrap()), committed);
            }
        }
        let committed = sums(&writer);
        drop(writer);
        assert_eq!(sums(&Connection::open(&path).unwrap()), committed, "closed");
    }
}
