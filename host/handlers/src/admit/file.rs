//! Reads files that an operator names: handlers and their cases. A path may lead to anything, such as a FIFO without a
//! writer, a device without an end or a sparse file of terabytes, so only a regular file is read, and never more of it
//! than a limit.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is none, or the system refuses.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is something else.
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    /// It is larger than a limit.
    #[error("it is larger than {limit} = {bytes_max}")]
    TooLarge {
        /// The limit's name.
        limit: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// It should be text.
    #[error("it is not UTF-8")]
    NotText,
    /// The file of cases beside it, by its name.
    #[error("{0} beside it: {1}")]
    Cases(&'static str, Box<FileError>),
}

impl FileError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Unreadable(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// The content of a regular file of at most `bytes_max` bytes. Links are followed. `limit` is the name of the limit.
///
/// # Errors
///
/// When it is larger, no regular file, or cannot be read.
pub fn read(path: &Path, limit: &'static str, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    // Checked before it is opened, since opening a device may do something to it; and after, since it may have been
    // replaced. Without O_NONBLOCK, opening a FIFO would wait for a writer.
    regular(&std::fs::metadata(path)?)?;
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    let too_large = || FileError::TooLarge { limit, bytes_max };
    if metadata.len() > bytes_max as u64 {
        return Err(too_large());
    }
    // It may grow meanwhile.
    let bytes = read_at_most(file, bytes_max.saturating_add(1), metadata.len())?;
    if bytes.len() > bytes_max { Err(too_large()) } else { Ok(bytes) }
}

fn read_at_most(file: File, bytes_max: usize, expected: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default().min(bytes_max));
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn regular(metadata: &std::fs::Metadata) -> Result<(), FileError> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    Err(FileError::NotRegular(if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "something else"
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    fn read_here(path: &Path) -> String {
        read(path, "handler_file_bytes_max", 4).map_or_else(|error| error.to_string(), |bytes| format!("{bytes:?}"))
    }

    #[test]
    fn only_a_regular_file_within_the_limit_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("four"), [1, 2, 3, 4]).unwrap();
        std::fs::write(path("five"), [0; 5]).unwrap();
        File::create(path("sparse")).unwrap().set_len(6 << 30).unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, path(name)).unwrap();
        link("four", "link");
        link("/dev/zero", "zero");
        link("loop", "loop");
        rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), rustix::fs::Mode::RWXU).unwrap();

        let too_large = "it is larger than handler_file_bytes_max = 4";
        assert_eq!(read_here(&path("link")), "[1, 2, 3, 4]");
        assert_eq!(read_here(&path("five")), too_large);
        assert_eq!(read_here(&path("sparse")), too_large);
        assert_eq!(read_here(&path("zero")), "it is a device, not a regular file");
        assert_eq!(read_here(&path("fifo")), "it is a FIFO, not a regular file");
        assert_eq!(read_here(directory.path()), "it is a directory, not a regular file");
        assert!(read_here(&path("loop")).starts_with("it cannot be read: Too many levels of symbolic links"));
        assert!(read(&path("nothing"), "", 4).unwrap_err().is_absent());
    }

    #[test]
    fn a_file_without_a_length_is_bounded_all_the_same() {
        assert_eq!(read_here(Path::new("/proc/self/maps")), "it is larger than handler_file_bytes_max = 4");
    }
}
