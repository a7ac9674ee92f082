//! Files that get their name when they are complete: what is on disk at each moment, whatever ends the process.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

/// The directory that holds a file.
pub(super) fn directory_of(file: &Path) -> PathBuf {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    directory.unwrap_or(Path::new(".")).to_owned()
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The same path with something behind its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Gives a file a second name, or copies it where the file system has no second names.
pub(super) fn second_name(file: &Path, name: &Path) -> io::Result<()> {
    match fs::hard_link(file, name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) => fs::copy(file, name).and_then(|_| File::open(name)?.sync_all()),
        Ok(()) => Ok(()),
    }
}

/// Removes a file, if there is one.
pub(super) fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives a file to the owner of its directory, if root runs the command: that is the server's user.
pub(super) fn like_its_directory(file: &File, directory: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = directory.metadata()?;
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}
