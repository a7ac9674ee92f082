//! Files that get their name when they are complete: what is on disk at each moment, whatever ends the process.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// The directory that holds a file.
pub(super) fn directory_of(file: &Path) -> PathBuf {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    directory.unwrap_or(Path::new(".")).to_owned()
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Gives a file, which is complete and on disk, its name, and makes the name durable. Never replaces another file.
///
/// # Errors
///
/// [`io::ErrorKind::AlreadyExists`] if something has the name, or the system's error.
pub fn give_name(file: &Path, name: &Path) -> io::Result<()> {
    match renameat_with(CWD, file, CWD, name, RenameFlags::NOREPLACE) {
        // The file system cannot: some in user space, and NFS.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => give_name_by_link(file, name)?,
        renamed => renamed?,
    }
    sync_directory(&directory_of(name))
}

fn give_name_by_link(file: &Path, name: &Path) -> io::Result<()> {
    match fs::hard_link(file, name) {
        Ok(()) => fs::remove_file(file),
        // One without links either, where a look has to do.
        Err(_) if name.symlink_metadata().is_err() => fs::rename(file, name),
        Err(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// The same path with something behind its name.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_another_file_has_stays_with_it() {
        for give in [give_name, give_name_by_link] {
            let directory = tempfile::tempdir().unwrap();
            let [file, name] = ["new.partial", "new"].map(|name| directory.path().join(name));
            fs::write(&file, "new").unwrap();
            fs::write(&name, "another").unwrap();
            assert_eq!(give(&file, &name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!([&file, &name].map(|path| fs::read_to_string(path).unwrap()), ["new", "another"]);
            fs::remove_file(&name).unwrap();
            give(&file, &name).unwrap();
            assert_eq!((fs::read_to_string(&name).unwrap().as_str(), file.exists()), ("new", false));
        }
    }
}
