//! `ondol import`: checks a file, writes it piece by piece, reads it back and compares. A cut in between is continued.

use std::fs::File;
use std::io::{BufReader, Seek as _};
use std::path::Path;

use anyhow::Context as _;

use super::check::{Checked, check, existing, open_file};
use super::export::digest_of;
use super::reader::Reader;
use super::{Problems, Rules, Watcher};
use ondol_host_store::{Archive, ImportLock, ImportRow, Importer, StoreError};

/// The most rows of a transaction, and the most bytes of their texts. The rest of them is bounded by the rows.
const ROWS_MAX: usize = 8_192;
const TEXT_BYTES_MAX: usize = 8 << 20;

/// A finished import.
#[derive(Debug)]
pub(crate) struct Imported {
    /// What the file holds.
    pub(crate) checked: Checked,
    /// How many messages an earlier run had written.
    pub(crate) continued: u64,
    /// The digest of the file's rooms and messages, and of the database's. None: the file was imported before, and nothing was
    /// written now.
    pub(crate) sha256: Option<String>,
}

/// Why there is no import.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The file is wrong, and nothing was written.
    #[error("nothing was imported")]
    Problems(Problems),
    /// The import was cut off.
    #[error(
        "{error:#}; {messages} of the file's messages are in the database, and no server starts on it until the import is finished: run the same command again to go on"
    )]
    Cut {
        /// Why.
        error: anyhow::Error,
        /// How many messages are in.
        messages: u64,
    },
    /// Nothing was written for another reason.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// Checks a file for an import into a database, which may be in use or missing. Changes nothing.
///
/// # Errors
///
/// If the file or the database cannot be read, or the watcher stops.
pub(crate) fn check_file(
    file: &Path,
    database: &Path,
    rules: &Rules,
    watcher: &mut Watcher,
) -> anyhow::Result<Checked> {
    let file = open_file(file)?;
    let existing = existing(database)?;
    let progress = read(existing.as_ref(), Archive::import_progress)?;
    check(&file, existing.as_ref(), progress.as_ref(), rules, watcher)
}

/// Imports a file into a database that no server uses. Creates the database if it is missing.
///
/// # Errors
///
/// If the file is wrong, which changes nothing, or the import is cut off, which the next call continues.
pub(crate) fn import_file(
    path: &Path,
    database: &Path,
    rules: &Rules,
    watcher: &mut Watcher,
) -> Result<Imported, ImportError> {
    let file = open_file(path)?;
    let lock = match ImportLock::take(database) {
        Err(error @ StoreError::Locked(_)) => {
            Err(anyhow::anyhow!("{error}; stop the server first (and its socket unit)"))
        }
        taken => taken.with_context(|| database.display().to_string()),
    }?;
    // The database is only read before the file is known to be right: a wrong one changes nothing, and creates nothing.
    let archive = existing(database)?;
    let progress = read(archive.as_ref(), Archive::import_progress)?;
    let last = read(archive.as_ref(), Archive::last_import)?;
    let checked = check(&file, archive.as_ref(), progress.as_ref(), rules, watcher)?;
    // Closed before anything is written, so that the write-ahead log can be emptied.
    drop(archive);
    if let Some(progress) = progress.as_ref().filter(|progress| progress.digest != checked.digest) {
        let (given, begun) = (path.display(), &progress.file);
        let what =
            format!("{given} is not the file whose import is unfinished, which was {begun}: finish that one first");
        return Err(ImportError::Other(anyhow::anyhow!(what)));
    }
    // A command that was killed after its last commit comes again.
    if progress.is_none() && last.as_ref() == Some(&checked.digest) {
        return Ok(Imported { checked, continued: 0, sha256: None });
    }
    if checked.problems.count() > 0 {
        return Err(ImportError::Problems(checked.problems));
    }
    let importer = Importer::open(lock).with_context(|| database.display().to_string())?;
    let mut run = Run { importer, path, database, file: &file, rules, checked: &checked };
    let continued = progress.as_ref().map_or(0, |progress| progress.messages);
    match run.write(progress.is_some(), watcher) {
        Ok(()) => {}
        Err(error) => return Err(run.cut(error)),
    }
    if let Err(error) = run.compare(watcher) {
        return Err(run.cut(error));
    }
    run.importer
        .finish(checked.last_id)
        .context("the import is complete, but not recorded: run the same command again")?;
    let sha256 = Some(checked.written_digest.clone());
    Ok(Imported { checked, continued, sha256 })
}

/// Reads something of a database, if there is one.
fn read<T>(
    archive: Option<&Archive>,
    read: impl FnOnce(&Archive) -> Result<Option<T>, StoreError>,
) -> anyhow::Result<Option<T>> {
    Ok(archive.map(read).transpose()?.flatten())
}

/// An import on its way.
struct Run<'a> {
    importer: Importer,
    path: &'a Path,
    database: &'a Path,
    file: &'a File,
    rules: &'a Rules,
    checked: &'a Checked,
}

impl Run<'_> {
    fn cut(&self, error: anyhow::Error) -> ImportError {
        match self.importer.progress() {
            Some(progress) => ImportError::Cut { error, messages: progress.messages },
            None => ImportError::Other(error),
        }
    }

    fn write(&mut self, has_begun: bool, watcher: &mut Watcher) -> anyhow::Result<()> {
        if !has_begun {
            let name = std::path::absolute(self.path)?.display().to_string();
            self.importer.begin(&name, &self.checked.digest, self.checked.first_id)?;
        }
        watcher.begin("importing", self.checked.messages);
        let applied = self.importer.progress().map_or(0, |progress| progress.line);
        let mut input = self.file;
        input.rewind()?;
        let mut reader = Reader::new(self.rules, BufReader::with_capacity(1 << 18, input), self.checked.first_id);
        let (mut rows, mut bytes) = (Vec::with_capacity(ROWS_MAX), 0);
        loop {
            let row = reader.next().context("cannot read the file")?;
            if rows.len() >= ROWS_MAX || bytes >= TEXT_BYTES_MAX || (row.is_none() && !rows.is_empty()) {
                anyhow::ensure!(!watcher.is_stopped(), "stopped");
                // The row that was read is on a later line.
                self.importer.write(&rows, reader.line - u64::from(row.is_some())).context("cannot write")?;
                watcher.advance(self.importer.progress().map_or(0, |progress| progress.messages));
                rows.clear();
                bytes = 0;
            }
            let Some(row) = row else { return Ok(()) };
            if reader.line > applied {
                let row = row.map_err(|_| anyhow::anyhow!("the file has changed since it was checked"))?;
                bytes += bytes_of(&row);
                rows.push(row);
            }
        }
    }

    /// Compares the database with the file.
    fn compare(&self, watcher: &mut Watcher) -> anyhow::Result<()> {
        watcher.begin("comparing", self.checked.messages);
        let archive = Archive::open(self.database)?;
        let digest = digest_of(&archive, &self.checked.room_ids, watcher)?;
        anyhow::ensure!(digest == self.checked.written_digest, "the digests of the file and of the database differ");
        Ok(())
    }
}

fn bytes_of(row: &ImportRow) -> usize {
    match row {
        ImportRow::Room(_) => 0,
        ImportRow::Message(message) => message.draft.text.len() + message.draft.extra.as_ref().map_or(0, String::len),
    }
}
