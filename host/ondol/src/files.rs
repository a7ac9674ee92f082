//! What is read from files, and read again when one of them changes. Knows nothing of what the files hold.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// The most that a file of keys or certificates may be.
const FILE_BYTES_MAX: u64 = 1_048_576;
/// How long a change of a file may go unnoticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

type Reader<T> = Box<dyn Fn() -> anyhow::Result<T> + Send + Sync>;

/// A value from files.
pub(crate) struct FromFiles<T> {
    /// What the value is, for the log.
    name: &'static str,
    files: Vec<PathBuf>,
    reader: Reader<T>,
    last: Mutex<LastRead<T>>,
}

struct LastRead<T> {
    value: Arc<T>,
    stamps: Vec<Option<Stamp>>,
    looked: Instant,
}

/// What of a file changes with its content. A link that leads to another file changes it too.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

impl<T> FromFiles<T> {
    /// Reads a value for the first time. `name` is its name in the log, such as `identity: the keys`.
    ///
    /// # Errors
    ///
    /// Those of `reader`.
    pub(crate) fn read(
        name: &'static str,
        files: Vec<PathBuf>,
        reader: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        // Taken before the files are read: a change meanwhile is noticed the next time.
        let stamps = stamps(&files);
        let last = LastRead { value: Arc::new(reader()?), stamps, looked: Instant::now() };
        Ok(Self { name, files, reader: Box::new(reader), last: Mutex::new(last) })
    }

    /// The value as the files have it. While a changed file cannot be read, the one from before.
    pub(crate) fn current(&self) -> Arc<T> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.looked.elapsed() >= LOOK_EVERY {
            last.looked = Instant::now();
            let stamps = stamps(&self.files);
            if stamps != last.stamps {
                last.stamps = stamps;
                let name = self.name;
                match (self.reader)() {
                    Ok(value) => {
                        tracing::info!("{name} were read again");
                        last.value = Arc::new(value);
                    }
                    Err(error) => {
                        tracing::error!(error = %format!("{error:#}"), "{name} from before stay: {error:#}");
                    }
                }
            }
        }
        Arc::clone(&last.value)
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()))
    };
    files.iter().map(stamp).collect()
}

/// The bytes of a file.
///
/// # Errors
///
/// When it cannot be read, is no regular file, or is too large.
pub(crate) fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).context("cannot open the file")?;
    ensure!(file.metadata()?.is_file(), "not a regular file");
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).context("cannot read the file")?;
    ensure!(bytes.len() as u64 <= FILE_BYTES_MAX, "larger than {FILE_BYTES_MAX} bytes");
    Ok(bytes)
}
