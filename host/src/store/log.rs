//! How the write-ahead log reaches the system: a commit in one write, where SQLite makes two for each of its pages, and a
//! short one past the system's cache. Knows of the log's format what it must
//! (<https://sqlite.org/fileformat2.html#walformat>), and nothing of what is stored.
//!
//! It is a VFS (<https://sqlite.org/vfs.html>) before SQLite's own, for the writer's connection alone. Every file is the own
//! one's but the log, whose frames are [held](Held) until the one that commits them comes: before that has been written SQLite
//! shows nobody what it has appended, and what cannot be written is told in time for the commit to fail. Whatever else is done
//! to the log finds it as if nothing had been held.

#![allow(unsafe_code, reason = "SQLite takes a table of C functions, whose arguments are pointers to what it has made")]

mod direct;
mod held;

use std::ffi::{CStr, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use rusqlite::ffi::{self, SQLITE_IOERR, SQLITE_OK, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

use crate::config::Synchronous;
use direct::{Direct, Way};
use held::{Held, Taken};

/// The VFS for a writer that syncs like this. Makes it known to SQLite.
///
/// # Errors
///
/// SQLite's.
pub(super) fn vfs(synchronous: Synchronous) -> rusqlite::Result<&'static CStr> {
    static FULL: OnceLock<c_int> = OnceLock::new();
    static NORMAL: OnceLock<c_int> = OnceLock::new();
    let (name, code) = match synchronous {
        Synchronous::Full => (c"ondol-full", FULL.get_or_init(|| register(c"ondol-full", open::<true>))),
        // What is committed waits in the system's cache, which is what this is for.
        Synchronous::Normal => (c"ondol-normal", NORMAL.get_or_init(|| register(c"ondol-normal", open::<false>))),
    };
    if *code == SQLITE_OK {
        return Ok(name);
    }
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(*code), Some("the log's VFS cannot be registered".to_owned())))
}

/// Opens a file, as SQLite asks its VFS to.
type Open =
    unsafe extern "C" fn(*mut sqlite3_vfs, ffi::sqlite3_filename, *mut sqlite3_file, c_int, *mut c_int) -> c_int;

fn register(name: &'static CStr, open: Open) -> c_int {
    // SAFETY: SQLite never frees its default VFS, nor this one, which is leaked for that. The functions that are taken over from
    // the default one are SQLite's for Unix, and look at no VFS that they are given, but for `xOpen`, which is not.
    unsafe {
        let own = ffi::sqlite3_vfs_find(ptr::null());
        if own.is_null() {
            return ffi::SQLITE_NOTFOUND;
        }
        let vfs = sqlite3_vfs {
            szOsFile: (*own).szOsFile + size_of::<Log>() as c_int,
            pNext: ptr::null_mut(),
            zName: name.as_ptr(),
            pAppData: own.cast(),
            xOpen: Some(open),
            ..*own
        };
        ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 0)
    }
}

/// An open log. The file of SQLite's own VFS comes after it in the memory that SQLite has made for both.
#[repr(C)]
struct Log {
    file: sqlite3_file,
    held: Held,
    direct: Direct,
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

unsafe extern "C" fn open<const PAST_THE_CACHE: bool>(
    vfs: *mut sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: the VFS is one that was registered, so its data is SQLite's own. SQLite has made as much memory for the file as
    // the VFS says that one takes, at an address that suits both parts. A log has a name.
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
        if code != SQLITE_OK || (*own).pMethods.is_null() {
            (*file).pMethods = ptr::null();
            return code;
        }
        let direct = match PAST_THE_CACHE {
            true => Direct::to(Path::new(OsStr::from_bytes(CStr::from_ptr(name).to_bytes()))),
            false => Direct::none(),
        };
        log.write(Log { file: sqlite3_file { pMethods: &raw const METHODS }, held: Held::new(), direct });
        code
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let log = file.cast::<Log>();
    // SAFETY: as for the other methods. This is the last one to be called.
    unsafe {
        let written = write_held(log);
        ptr::drop_in_place(log);
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
        let written = std::slice::from_raw_parts(bytes.cast(), usize::try_from(count).unwrap_or(0));
        match (*log).held.take(written, at) {
            Taken::Held => SQLITE_OK,
            Taken::Due => write_held(log),
            Taken::No => match write_held(log) {
                SQLITE_OK => {
                    (*log).held.passed_by(written, at);
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
    // SAFETY: the caller's word. The bytes stay where they are until SQLite's own file has written them.
    unsafe {
        let Log { held, direct, .. } = &mut *log;
        if held.length() == 0 {
            return SQLITE_OK;
        }
        let way = direct.way(held.length());
        let (bytes, at, are_blocks) = held.unwritten(way != Way::Plain);
        if way == Way::Past && are_blocks && direct.write(bytes, at) {
            held.was_written();
            return SQLITE_OK;
        }
        let code = match c_int::try_from(bytes.len()) {
            Ok(count) => own!(log, xWrite(bytes.as_ptr().cast(), count, at)),
            Err(_) => SQLITE_IOERR,
        };
        if code == SQLITE_OK {
            held.was_written()
        } else {
            held.give_up()
        }
        code
    }
}

#[cfg(test)]
mod tests;
