//! What of a commit is in the files, and when.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::Connection;

use crate::config::Synchronous;
use crate::store::setup;

const NAME_OF_FILE: &str = "chat.db";

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

#[test]
fn whoever_reads_beside_finds_every_commit_whole_and_the_last_one() {
    let commits = 3_000;
    let rows = |commit: i64| if commit % 50 == 0 { 200 } else { commit % 3 + 1 };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME_OF_FILE);
    let mut writer = setup::open(&path, Synchronous::Full).unwrap();
    writer.execute_batch("CREATE TABLE said (n INTEGER PRIMARY KEY, said_in INTEGER, text TEXT) STRICT").unwrap();
    let committed = AtomicI64::new(0);
    let read = || {
        let reader = setup::open_reader(&path).unwrap();
        let sql = "SELECT n, said_in, text FROM said ORDER BY n DESC LIMIT 300";
        let mut last = 0;
        while last < commits {
            let least = committed.load(Ordering::Acquire);
            let mut found = BTreeMap::<i64, i64>::new();
            let mut statement = reader.prepare_cached(sql).unwrap();
            let mut told = statement.query([]).unwrap();
            while let Some(row) = told.next().unwrap() {
                let (n, commit): (i64, i64) = (row.get(0).unwrap(), row.get(1).unwrap());
                assert_eq!(row.get_ref(2).unwrap().as_str().unwrap(), format!("{n:08}").repeat(20));
                *found.entry(commit).or_default() += 1;
            }
            last = found.last_key_value().map_or(0, |(commit, _)| *commit);
            assert!(last >= least, "{last} of at least {least}");
            for commit in found.keys().skip(1) {
                assert_eq!(found[commit], rows(*commit), "commit {commit}");
            }
        }
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        let checkpoints = setup::open_for_checkpoints(&path, Synchronous::Full).unwrap();
        for commit in 1..=commits {
            let transaction = writer.transaction().unwrap();
            for _ in 0..rows(commit) {
                let sql = "INSERT INTO said (said_in, text) \
                           SELECT ?1, replace(hex(zeroblob(20)), '00', printf('%08d', coalesce(max(n), 0) + 1)) FROM said";
                transaction.prepare_cached(sql).unwrap().execute([commit]).unwrap();
            }
            transaction.commit().unwrap();
            committed.store(commit, Ordering::Release);
            if commit % 200 == 0 {
                checkpoints.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
            }
            // Whoever failed would be waited for in vain.
            assert!(!readers.iter().any(|reader| reader.is_finished() && commit < commits), "a reader failed");
        }
    });
}
