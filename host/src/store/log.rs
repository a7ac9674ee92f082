//! How the write-ahead log reaches the system: the pages of a commit in one write, where SQLite makes two for each of them.
//! Knows of the log's format what it must (<https://sqlite.org/fileformat2.html#walformat>), and nothing of what is stored.
//!
//! It is a VFS (<https://sqlite.org/vfs.html>) before SQLite's own, for the writer's connection alone. Every file is the own
//! one's but the log, whose frames are held until the one that commits them comes: before that has been written SQLite shows
//! nobody what it has appended, and what cannot be written is told in time for the commit to fail. Whatever else is done to
//! the log finds it as if nothing had been held.

#![allow(unsafe_code, reason = "SQLite takes a table of C functions, whose arguments are pointers to what it has made")]

use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use rusqlite::ffi::{self, SQLITE_IOERR, SQLITE_OK, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

/// What the VFS is called, once it is registered.
pub(super) const NAME: &CStr = c"ondol";

/// What stands before each page.
const HEADER_BYTES: usize = 24;

/// When so much is held, it is written, be there a commit or not. SQLite's own VFS writes less than 128 KiB at once, and the last
/// page that was held may have 64.
const HELD_BYTES_MAX: usize = 60 << 10;

/// Makes the VFS known to SQLite.
///
/// # Errors
///
/// SQLite's.
pub(super) fn register() -> rusqlite::Result<()> {
    static CODE: OnceLock<c_int> = OnceLock::new();
    let code = *CODE.get_or_init(|| {
        // SAFETY: SQLite never frees its default VFS, nor this one, which is leaked for that. The functions that are taken
        // over from it are SQLite's for Unix, and look at no VFS that they are given, but for `xOpen`, which is not.
        unsafe {
            let own = ffi::sqlite3_vfs_find(ptr::null());
            if own.is_null() {
                return ffi::SQLITE_NOTFOUND;
            }
            let vfs = sqlite3_vfs {
                szOsFile: (*own).szOsFile + size_of::<Log>() as c_int,
                pNext: ptr::null_mut(),
                zName: NAME.as_ptr(),
                pAppData: own.cast(),
                xOpen: Some(open),
                ..*own
            };
            ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0)
        }
    });
    if code == SQLITE_OK {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some("the log's VFS cannot be registered".to_owned())))
}

/// Frames that are not written yet, one after another.
#[derive(Debug, Default)]
struct Held {
    bytes: Vec<u8>,
    /// Where they belong; where the last write ended, when there are none.
    from: i64,
    /// A frame's page is still to come: whether the frame commits.
    begun: Option<bool>,
}

/// What has become of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// They are held.
    Held,
    /// They are held, and what is held is to be written.
    Due,
    /// They are not held.
    No,
}

impl Held {
    /// Takes what is appended: a frame's header, or the page after it.
    fn take(&mut self, bytes: &[u8], at: i64) -> Taken {
        let begun = self.begun.take();
        if at != self.end() {
            return Taken::No;
        }
        match begun {
            None if bytes.len() == HEADER_BYTES => self.begun = Some(commits(bytes)),
            None => return Taken::No,
            Some(_) => {}
        }
        self.bytes.extend_from_slice(bytes);
        if begun == Some(true) || self.bytes.len() >= HELD_BYTES_MAX { Taken::Due } else { Taken::Held }
    }

    /// Forgets what is held, which has been written or not.
    fn let_go(&mut self, written: bool) {
        if written {
            self.from = self.end();
        }
        self.bytes.clear();
        self.begun = None;
    }

    fn end(&self) -> i64 {
        self.from + self.bytes.len() as i64
    }
}

/// Whether a frame with this header ends a transaction: the length of the database after it stands there then, in pages.
fn commits(header: &[u8]) -> bool {
    header.get(4..8).is_some_and(|pages| pages != [0; 4])
}

/// An open log. The file of SQLite's own VFS comes after it in the memory that SQLite has made for both.
#[repr(C)]
struct Log {
    file: sqlite3_file,
    held: Held,
}

/// Calls a method of SQLite's own file behind a log.
macro_rules! own {
    ($log:expr, $method:ident($($argument:expr),*)) => {{
        let own = $log.add(1).cast::<sqlite3_file>();
        (*(*own).pMethods).$method.map_or(SQLITE_IOERR, |method| method(own, $($argument),*))
    }};
}

/// Defines what is done to a log as SQLite's own VFS does it: to the file behind it, once what is held is written.
macro_rules! as_its_own {
    ($($name:ident: $method:ident($($argument:ident: $type:ty),*)),* $(,)?) => {$(
        unsafe extern "C" fn $name(file: *mut sqlite3_file, $($argument: $type),*) -> c_int {
            let log = file.cast::<Log>();
            // SAFETY: SQLite calls the methods of a file only with one that was opened with them, by one thread at a time.
            unsafe {
                match write_held(log) {
                    SQLITE_OK => own!(log, $method($($argument),*)),
                    code => code,
                }
            }
        }
    )*};
}

as_its_own! {
    read: xRead(bytes: *mut c_void, count: c_int, at: i64),
    truncate: xTruncate(size: i64),
    sync: xSync(flags: c_int),
    file_size: xFileSize(size: *mut i64),
    lock: xLock(level: c_int),
    unlock: xUnlock(level: c_int),
    check_reserved_lock: xCheckReservedLock(is_reserved: *mut c_int),
    file_control: xFileControl(operation: c_int, argument: *mut c_void),
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // The log is neither mapped nor has it shared memory.
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: the VFS is the one that was registered, so its data is SQLite's own. SQLite has made as much memory for the
    // file as the VFS says that one takes, at an address that suits both parts.
    unsafe {
        let own_vfs = (*vfs).pAppData.cast::<sqlite3_vfs>();
        let Some(open) = (*own_vfs).xOpen else { return ffi::SQLITE_CANTOPEN };
        if flags & ffi::SQLITE_OPEN_WAL == 0 {
            return open(own_vfs, name, file, flags, out_flags);
        }
        let log = file.cast::<Log>();
        let own = log.add(1).cast::<sqlite3_file>();
        let code = open(own_vfs, name, own, flags, out_flags);
        // A file without methods is not closed.
        let methods = if (*own).pMethods.is_null() { ptr::null() } else { &raw const METHODS };
        log.write(Log { file: sqlite3_file { pMethods: methods }, held: Held::default() });
        code
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let log = file.cast::<Log>();
    // SAFETY: as for the other methods. This is the last one to be called.
    unsafe {
        let written = write_held(log);
        ptr::drop_in_place(&raw mut (*log).held);
        match own!(log, xClose()) {
            SQLITE_OK => written,
            code => code,
        }
    }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, bytes: *const c_void, count: c_int, at: i64) -> c_int {
    let log = file.cast::<Log>();
    // SAFETY: as for the other methods, and there are as many bytes as SQLite says.
    unsafe {
        let held = &mut (*log).held;
        match held.take(std::slice::from_raw_parts(bytes.cast(), usize::try_from(count).unwrap_or(0)), at) {
            Taken::Held => SQLITE_OK,
            Taken::Due => write_held(log),
            Taken::No => match write_held(log) {
                SQLITE_OK => {
                    (*log).held.from = at + i64::from(count);
                    own!(log, xWrite(bytes, count, at))
                }
                code => code,
            },
        }
    }
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    // SAFETY: as for the other methods.
    unsafe { own!(file.cast::<Log>(), xSectorSize()) }
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    // SAFETY: as for the other methods.
    unsafe { own!(file.cast::<Log>(), xDeviceCharacteristics()) }
}

/// Writes what is held.
///
/// # Safety
///
/// `log` is open, and nobody else has it.
unsafe fn write_held(log: *mut Log) -> c_int {
    // SAFETY: the caller's word. What is held stays where it is until SQLite's own file has written it.
    unsafe {
        let held = &mut (*log).held;
        if held.bytes.is_empty() {
            return SQLITE_OK;
        }
        let code = match c_int::try_from(held.bytes.len()) {
            Ok(count) => own!(log, xWrite(held.bytes.as_ptr().cast(), count, held.from)),
            Err(_) => SQLITE_IOERR,
        };
        held.let_go(code == SQLITE_OK);
        code
    }
}

#[cfg(test)]
mod tests;
