//! Compiled code on disk, in a directory that is this user's alone: its content is executed. Knows nothing of
//! compiling.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;

/// Compiled components that are kept beside those in use: as many versions of three handlers as the store keeps by
/// default. One in Rust takes about 300 KiB.
pub(crate) const KEPT_MAX: usize = 60;

/// The bytes of those. One in Python or JavaScript takes 36 MiB.
const KEPT_BYTES_MAX: u64 = 512 << 20;

/// Compiled code by component and engine.
pub(crate) struct CodeCache {
    directory: PathBuf,
    /// The files of components that are in use.
    in_use: Mutex<Vec<Weak<PathBuf>>>,
}

impl CodeCache {
    /// Opens a cache, and creates its directory if there is none.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made, or another user owns it or can open it.
    pub(crate) fn open(directory: &Path) -> wasmtime::Result<Self> {
        use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};

        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let found = std::fs::metadata(directory)?;
        let own = std::fs::metadata("/proc/self")?.uid();
        let path = directory.display();
        wasmtime::ensure!(found.uid() == own, "the cache {path} belongs to another user, and its content is executed");
        wasmtime::ensure!(
            found.mode() & 0o077 == 0,
            "the cache {path} is open to other users, and its content is executed: empty it, then chmod 700 {path}"
        );
        Ok(Self { directory: directory.to_owned(), in_use: Mutex::default() })
    }

    /// The code that was compiled of these bytes for such an engine. None on any doubt.
    pub(crate) fn get(&self, engine: &Engine, bytes: &[u8]) -> Option<Vec<u8>> {
        let place = self.place(engine, bytes);
        let mut sealed = std::fs::read(&place).ok()?;
        let (hash, code) = sealed.split_at_checked(HASH_BYTES)?;
        if seal(code, bytes) != hash {
            return None;
        }
        // Its time says when it was last of use. Without that it is only removed the sooner.
        let _ = std::fs::File::open(&place).and_then(|file| file.set_modified(SystemTime::now()));
        sealed.drain(..HASH_BYTES);
        Some(sealed)
    }

    /// Keeps code that was compiled of these bytes. What cannot be kept is compiled again by the next start.
    pub(crate) fn keep(&self, engine: &Engine, bytes: &[u8], code: &[u8]) {
        let place = self.place(engine, bytes);
        if let Err(error) = write(&place, &seal(code, bytes), code) {
            let file = place.display();
            tracing::warn!(%error, %file, "cannot keep compiled code in {file}, the next start compiles: {error}");
        }
        if let Err(error) = self.tidy(KEPT_MAX, KEPT_BYTES_MAX) {
            let directory = self.directory.display();
            tracing::warn!(%error, %directory, "cannot remove old compiled code from {directory}: {error}");
        }
    }

    /// Keeps what was compiled of these bytes for as long as the returned value lives.
    pub(crate) fn in_use(&self, engine: &Engine, bytes: &[u8]) -> Arc<PathBuf> {
        let place = Arc::new(self.place(engine, bytes));
        let mut in_use = self.lock();
        in_use.retain(|place| place.strong_count() > 0);
        in_use.push(Arc::downgrade(&place));
        place
    }

    /// Removes the least recently used files until so many are left, of so many bytes. Those in use are not counted.
    pub(crate) fn tidy(&self, kept_max: usize, bytes_max: u64) -> std::io::Result<()> {
        let in_use: Vec<Arc<PathBuf>> = self.lock().iter().filter_map(Weak::upgrade).collect();
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            // Another server may tidy up the same directory.
            let Ok(file) = std::fs::metadata(&path) else { continue };
            if !in_use.iter().any(|place| **place == path) {
                files.push((file.modified()?, file.len(), path));
            }
        }
        files.sort();
        let mut bytes = 0;
        for (place, (_, length, path)) in files.iter().rev().enumerate() {
            bytes += length;
            // The last one is kept, however large it is.
            if place > 0 && (place >= kept_max || bytes > bytes_max) {
                let _ = std::fs::remove_file(path);
            }
        }
        Ok(())
    }

    /// The file of the code. Its name changes with the component and with everything that decides what code an engine
    /// takes.
    pub(crate) fn place(&self, engine: &Engine, bytes: &[u8]) -> PathBuf {
        use std::hash::{Hash as _, Hasher as _};

        let mut compatibility = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut compatibility);
        let component = HEXLOWER.encode(&Sha256::digest(bytes));
        self.directory.join(format!("{component}-{:016x}.cwasm", compatibility.finish()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<PathBuf>>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const HASH_BYTES: usize = 32;

/// The hash before the code: of the code and of the component that it was compiled from. It tells a damaged file, and
/// one that was moved into the place of another.
fn seal(code: &[u8], bytes: &[u8]) -> [u8; HASH_BYTES] {
    Sha256::new().chain_update(Sha256::digest(bytes)).chain_update(code).finalize().into()
}

/// Writes a file beside its place and moves it there whole.
fn write(place: &Path, seal: &[u8], code: &[u8]) -> std::io::Result<()> {
    let fresh = place.with_extension(format!("{}.new", std::process::id()));
    let kept = std::fs::write(&fresh, [seal, code].concat()).and_then(|()| std::fs::rename(&fresh, place));
    if kept.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    kept
}
