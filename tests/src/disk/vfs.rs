//! The layer under SQLite: a VFS that passes every call on to SQLite's default VFS, and reports changes of files to the
//! [`Device`]. Each call that reads or changes a file holds one lock, so that nothing happens beside a power cut.
#![allow(unsafe_code, reason = "a VFS of SQLite's is a table of C functions")]

use std::{
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    mem::size_of,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    ptr::{null, null_mut},
    slice,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use rusqlite::ffi;

use super::{
    CUT_STATUS,
    device::Device,
    plan::{Kind, Operation, Plan},
};

static DEVICE: OnceLock<Mutex<Device>> = OnceLock::new();
static SYNC_TAKES: OnceLock<Duration> = OnceLock::new();

/// The VFS below, which SQLite never frees.
struct Beneath(*mut ffi::sqlite3_vfs);

// SAFETY: the VFS that SQLite brings along is made for any number of threads, and never changes once it is registered.
unsafe impl Send for Beneath {}
// SAFETY: as above.
unsafe impl Sync for Beneath {}

static BENEATH: OnceLock<Beneath> = OnceLock::new();

/// An open file. In SQLite's memory the file of the VFS beneath follows it.
#[repr(C, align(16))]
struct OpenFile {
    base: ffi::sqlite3_file,
    /// From [`Box::into_raw`], or null for a temporary file, which a power cut may leave in any state.
    path: *mut PathBuf,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Without xFetch: mapped pages would be read without a call.
    iVersion: 2,
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
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Makes the disk SQLite's default. To be called once, before anything is opened.
///
/// # Errors
/// When SQLite refuses.
pub fn install(plan: Plan) -> Result<()> {
    let _ = SYNC_TAKES.set(Duration::from_micros(plan.sync_us));
    ensure!(DEVICE.set(Mutex::new(Device::new(plan))).is_ok(), "the test disk is installed already");
    // SAFETY: a null name asks for the default VFS, which lives as long as the process.
    let beneath = unsafe { ffi::sqlite3_vfs_find(null()) };
    ensure!(!beneath.is_null(), "SQLite has no VFS");
    // SAFETY: not null, and only SQLite writes to it, with its own lock: to `pNext` alone, which is not used.
    let mut vfs = unsafe { *beneath };
    let _ = BENEATH.set(Beneath(beneath));
    vfs.szOsFile += size_of::<OpenFile>() as c_int;
    vfs.zName = c"test-disk".as_ptr();
    vfs.pNext = null_mut();
    vfs.xOpen = Some(open);
    vfs.xDelete = Some(delete);
    // SAFETY: it is leaked, and so lives as long as SQLite may use it.
    let registered = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(vfs)), 1) };
    ensure!(registered == ffi::SQLITE_OK, "SQLite rejected the test disk: {registered}");
    Ok(())
}

fn device() -> Option<MutexGuard<'static, Device>> {
    Some(DEVICE.get()?.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The file below, and the path if it is a watched one.
fn parts<'a>(file: *mut ffi::sqlite3_file) -> (*mut ffi::sqlite3_file, Option<&'a Path>) {
    let open = file.cast::<OpenFile>();
    // SAFETY: SQLite hands over what `open` was given: an `OpenFile` and behind it, at the same alignment, the other
    // file.
    unsafe { (open.add(1).cast(), (*open).path.as_ref().map(PathBuf::as_path)) }
}

/// Calls a method of the file below; `otherwise` if it has none.
macro_rules! beneath {
    ($file:expr, $method:ident ($($argument:expr),*), $otherwise:expr) => {{
        let file: *mut ffi::sqlite3_file = $file;
        // SAFETY: a file that was opened has its methods, and SQLite made the arguments for this call.
        unsafe {
            (*file).pMethods.as_ref().and_then(|methods| methods.$method).map_or($otherwise, |call| call(file $(, $argument)*))
        }
    }};
}

/// The path for one of SQLite's names.
///
/// # Safety
/// The name is null or ends with a zero.
unsafe fn path_of(name: *const c_char) -> Option<PathBuf> {
    // SAFETY: as the caller promises.
    let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })?;
    Some(OsStr::from_bytes(name.to_bytes()).into())
}

/// Looks up the failure of an operation, and cuts the power if that is the failure.
fn meets(device: &mut Device, operation: Operation, file: &Path) -> Option<Kind> {
    let met = device.meets(operation, file);
    if met != Some(Kind::Cut) {
        return met;
    }
    let status = match device.cut() {
        Ok(()) => CUT_STATUS,
        Err(_) => 1,
    };
    // SAFETY: it ends the process, which is the one thing that may happen now: nothing is flushed, and no destructor
    // runs.
    unsafe { libc::_exit(status) }
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    let watched = ffi::SQLITE_OPEN_MAIN_DB | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_WAL;
    let opened = file.cast::<OpenFile>();
    // SAFETY: SQLite gives room for as much as `szOsFile` says; without methods it does not close what was not opened.
    unsafe { (*opened).base.pMethods = null() };
    // SAFETY: SQLite's names end with a zero.
    let path = unsafe { path_of(name) }.filter(|_| flags & watched != 0);
    let (Some(mut device), Some(Beneath(vfs))) = (device(), BENEATH.get()) else { return ffi::SQLITE_CANTOPEN };
    if path.as_ref().is_some_and(|path| device.opening(path).is_err()) {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: the VFS beneath gets its own pointer, and the room that it asked for.
    let status = unsafe {
        (**vfs).xOpen.map_or(ffi::SQLITE_CANTOPEN, |open| open(*vfs, name, opened.add(1).cast(), flags, flags_out))
    };
    if status == ffi::SQLITE_OK {
        path.iter().for_each(|path| device.opened(path));
        let path = path.map_or(null_mut(), |path| Box::into_raw(Box::new(path)));
        // SAFETY: as above.
        unsafe { opened.write(OpenFile { base: ffi::sqlite3_file { pMethods: &raw const METHODS }, path }) };
    }
    status
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    let (Some(mut device), Some(Beneath(vfs))) = (device(), BENEATH.get()) else { return ffi::SQLITE_IOERR_DELETE };
    // SAFETY: SQLite's names end with a zero.
    let path = unsafe { path_of(name) }.unwrap_or_default();
    meets(&mut device, Operation::Delete, &path);
    // SAFETY: the VFS beneath gets its own pointer, and the name as it was.
    let status = unsafe { (**vfs).xDelete.map_or(ffi::SQLITE_IOERR_DELETE, |delete| delete(*vfs, name, 0)) };
    if status == ffi::SQLITE_OK {
        device.deleted(&path, sync_directory != 0);
    }
    status
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let mut device = device();
    let (real, path) = parts(file);
    let status = beneath!(real, xClose(), ffi::SQLITE_OK);
    if let (Some(device), Some(path)) = (&mut device, path) {
        device.closed(path);
    }
    // SAFETY: the path came from a box, and SQLite uses the file no more.
    unsafe {
        let path = std::mem::replace(&mut (*file.cast::<OpenFile>()).path, null_mut());
        if !path.is_null() {
            drop(Box::from_raw(path));
        }
    }
    status
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, bytes: c_int, at: i64) -> c_int {
    let _device = device();
    beneath!(parts(file).0, xRead(into, bytes, at), ffi::SQLITE_IOERR_READ)
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, bytes: c_int, at: i64) -> c_int {
    let (real, path) = parts(file);
    let (Some(mut device), Some(path)) = (device(), path) else {
        return beneath!(real, xWrite(from, bytes, at), ffi::SQLITE_IOERR_WRITE);
    };
    let (bytes, failed) = match meets(&mut device, Operation::Write, path) {
        Some(Kind::FailWrite) => return ffi::SQLITE_IOERR_WRITE,
        Some(Kind::ShortWrite) => (bytes / 2, Some(ffi::SQLITE_IOERR_WRITE)),
        Some(Kind::Full) => (bytes / 2, Some(ffi::SQLITE_FULL)),
        _ => (bytes, None),
    };
    let status = beneath!(real, xWrite(from, bytes, at), ffi::SQLITE_IOERR_WRITE);
    if status == ffi::SQLITE_OK {
        // SAFETY: SQLite promises as many bytes as it asks to write.
        let content = unsafe { slice::from_raw_parts(from.cast::<u8>(), bytes.unsigned_abs() as usize) };
        device.wrote(path, at.unsigned_abs() as usize, content);
    }
    failed.unwrap_or(status)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    let (real, path) = parts(file);
    let (Some(mut device), Some(path)) = (device(), path) else {
        return beneath!(real, xTruncate(length), ffi::SQLITE_IOERR_TRUNCATE);
    };
    meets(&mut device, Operation::Truncate, path);
    let status = beneath!(real, xTruncate(length), ffi::SQLITE_IOERR_TRUNCATE);
    if status == ffi::SQLITE_OK {
        device.truncated(path, length.unsigned_abs() as usize);
    }
    status
}

/// The real file is not synced: the power of the testing machine stays on.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    if let Some(takes) = SYNC_TAKES.get().filter(|takes| !takes.is_zero()) {
        thread::sleep(*takes);
    }
    let (Some(mut device), Some(path)) = (device(), parts(file).1) else { return ffi::SQLITE_OK };
    match meets(&mut device, Operation::Sync, path) {
        Some(Kind::SkipSync) => {}
        Some(Kind::FailSync) => {
            device.sync_failed(path);
            return ffi::SQLITE_IOERR_FSYNC;
        }
        _ => device.synced(path),
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    let _device = device();
    beneath!(parts(file).0, xFileSize(size), ffi::SQLITE_IOERR_FSTAT)
}

// The other methods read or change no content.

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    beneath!(parts(file).0, xLock(level), ffi::SQLITE_IOERR_LOCK)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    beneath!(parts(file).0, xUnlock(level), ffi::SQLITE_IOERR_UNLOCK)
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, reserved: *mut c_int) -> c_int {
    beneath!(parts(file).0, xCheckReservedLock(reserved), ffi::SQLITE_IOERR_CHECKRESERVEDLOCK)
}

unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, what: c_int, with: *mut c_void) -> c_int {
    beneath!(parts(file).0, xFileControl(what, with), ffi::SQLITE_NOTFOUND)
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    beneath!(parts(file).0, xSectorSize(), 0)
}

unsafe extern "C" fn device_characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    beneath!(parts(file).0, xDeviceCharacteristics(), 0)
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    into: *mut *mut c_void,
) -> c_int {
    beneath!(parts(file).0, xShmMap(region, bytes, extend, into), ffi::SQLITE_IOERR_SHMMAP)
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    beneath!(parts(file).0, xShmLock(offset, count, flags), ffi::SQLITE_IOERR_SHMLOCK)
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    let () = beneath!(parts(file).0, xShmBarrier(), ());
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    beneath!(parts(file).0, xShmUnmap(delete), ffi::SQLITE_OK)
}
