//! Waits until a file of a project changes. The files are few, so looking at all of them many times a second costs next to
//! nothing, and works on every file system.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::project::{MANIFEST, Project};

/// How often the files are looked at, and how long they have to stay the same.
const INTERVAL: Duration = Duration::from_millis(40);

/// What tells one state of a file from another: inode, length, time of modification.
type Stamp = (u64, u64, i64, i64);

/// The watched files of a project.
#[derive(Debug)]
pub(super) struct Sources {
    directory: PathBuf,
    watched: Vec<PathBuf>,
    seen: Option<BTreeMap<PathBuf, Stamp>>,
}

impl Sources {
    /// At first only the manifest.
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), watched: vec![PathBuf::from(MANIFEST)], seen: None }
    }

    /// Watches what the project names from now on.
    pub(super) fn watch(&mut self, project: &Project) {
        let manifest = [PathBuf::from(MANIFEST)];
        let watched = manifest.into_iter().chain(project.watch.iter().cloned()).chain(project.cases.clone());
        let watched: Vec<_> = watched.collect();
        if watched != self.watched {
            self.watched = watched;
            self.seen = Some(self.stamps());
        }
    }

    /// Waits until the files differ from what was last seen, and do not change any more. Returns when that was noticed. The
    /// first time returns at once.
    pub(super) fn wait(&mut self) -> Instant {
        loop {
            let mut stamps = self.stamps();
            if self.seen.as_ref() == Some(&stamps) {
                thread::sleep(INTERVAL);
                continue;
            }
            let noticed = Instant::now();
            while self.seen.is_some() {
                thread::sleep(INTERVAL);
                let next = self.stamps();
                if next == stamps {
                    break;
                }
                stamps = next;
            }
            self.seen = Some(stamps);
            return noticed;
        }
    }

    fn stamps(&self) -> BTreeMap<PathBuf, Stamp> {
        let mut stamps = BTreeMap::new();
        self.watched.iter().for_each(|path| collect(&self.directory.join(path), &mut stamps));
        stamps
    }
}

/// Adds the stamps of a file, or of the files below a directory. A file that is gone has none.
fn collect(path: &Path, stamps: &mut BTreeMap<PathBuf, Stamp>) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    if !metadata.is_dir() {
        stamps.insert(path.to_owned(), stamp(&metadata));
        return;
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    // Editors keep their own files beside those that they edit.
    let own = |name: &str| name.starts_with('.') || name.starts_with('#') || name.ends_with('~');
    for entry in entries.filter(|entry| !own(&entry.file_name().to_string_lossy())) {
        collect(&entry.path(), stamps);
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    #[test]
    fn a_change_below_a_watched_directory_is_noticed_and_an_editors_file_is_not() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
        std::fs::create_dir_all(home.path().join("src/deep")).unwrap();
        write("src/deep/lib.rs", "one");
        let sources = Sources { watched: vec!["src".into()], ..Sources::new(home.path()) };
        let before = sources.stamps();
        assert_eq!(before.len(), 1);
        for editors in ["src/.lib.rs.swp", "src/deep/lib.rs~", "other"] {
            write(editors, "x");
            assert_eq!(sources.stamps(), before, "{editors}");
        }
        write("src/deep/lib.rs", "three");
        assert_ne!(sources.stamps(), before);
    }
}
