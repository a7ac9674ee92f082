//! What has to be known after a failed sync. The kernel reports such a failure once, marks the pages clean, and goes on
//! showing data that is not on disk. So the database is closed, the page cache of its files is dropped, and what the
//! disk holds is compared with what was acknowledged: <https://www.postgresql.org/docs/current/wal-reliability.html>
//! explains why less than that is not enough.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rustix::fs::{Advice, fadvise};

use super::rows::to_sql;
use ondol_host_model::{RoomId, Seq};

/// Whether an error means that written data may not have reached the disk.
pub(super) fn is_failed_sync(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(rusqlite::ffi::SQLITE_IOERR_FSYNC | rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC))
}

/// The files of a database: itself and its write-ahead log.
fn files(path: &Path) -> [PathBuf; 2] {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    [path.to_owned(), PathBuf::from(log)]
}

/// Makes the next read of the database's files come from the disk. Works only while this process has no connection
/// open.
pub(super) fn drop_page_cache(path: &Path) -> io::Result<()> {
    for path in files(path) {
        match File::open(&path) {
            Ok(file) => fadvise(&file, 0, None, Advice::DontNeed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Which files are at a path, by device and inode. Other files are another database, whatever their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity([Option<(u64, u64)>; 2]);

impl FileIdentity {
    pub(super) fn of(path: &Path) -> Self {
        Self(files(path).map(|path| path.metadata().ok().map(|file| (file.dev(), file.ino()))))
    }
}

/// The last message, room, release and deletion that callers were told is stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) messages: Vec<(RoomId, Seq)>,
    pub(super) room: Option<RoomId>,
    pub(super) release: Option<u64>,
    pub(super) deletion: Option<u64>,
}

impl Acknowledged {
    /// Names something that the database does not hold. None: it holds everything. A transaction that is missing takes
    /// all later ones with it, so it is enough to look for the last ones.
    pub(super) fn missing(&self, connection: &Connection) -> rusqlite::Result<Option<String>> {
        let reaches = |sql: &str, id: u64, least: u64| {
            let found: Option<i64> = connection.query_row(sql, [to_sql(id)], |row| row.get(0))?;
            Ok::<bool, rusqlite::Error>(found.is_some_and(|found| found >= to_sql(least)))
        };
        for (room, seq) in &self.messages {
            if !reaches("SELECT max(last) FROM room_seq WHERE room = ?1", room.0, seq.0)? {
                return Ok(Some(format!("message {} of room {room}", seq.0)));
            }
        }
        if let Some(room) = self.room
            && !reaches("SELECT max(seq) FROM sqlite_sequence WHERE name = 'room' AND ?1", 1, room.0)?
        {
            return Ok(Some(format!("room {room}")));
        }
        if let Some(release) = self.release
            && !reaches("SELECT max(seq) FROM sqlite_sequence WHERE name = 'release' AND ?1", 1, release)?
        {
            return Ok(Some(format!("release {release}")));
        }
        if let Some(deletion) = self.deletion
            && !reaches("SELECT max(seq) FROM sqlite_sequence WHERE name = 'deletion' AND ?1", 1, deletion)?
        {
            return Ok(Some("the last deletion of messages".to_owned()));
        }
        Ok(None)
    }
}
