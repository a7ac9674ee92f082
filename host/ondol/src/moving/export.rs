//! `ondol export`: writes a file, which gets its name when it is complete and on disk. A file that was cut off is continued.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use sha2::Digest as _;

use super::partial::{self, Position};
use super::reader::hex;
use super::{Rules, Watcher, written};
use ondol_host_model::{RoomId, Seq};
use ondol_host_store::{Archive, give_name, with_suffix};

/// A finished export.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exported {
    /// The rooms in the file.
    pub(crate) rooms: u64,
    /// The messages in the file.
    pub(crate) messages: u64,
    /// How many of them an earlier run had written.
    pub(crate) continued: u64,
    /// The digest of the lines of rooms and messages.
    pub(crate) sha256: String,
}

/// Writes the rooms and messages of a database to a file that must not exist. A server may be running on the database. A cut
/// leaves a file that ends with `.partial`, and the next call continues it.
///
/// # Errors
///
/// If the database cannot be read, the file cannot be written, or the watcher stops.
pub(crate) fn export_to_file(
    database: &Path,
    to: &Path,
    rules: &Rules,
    watcher: &mut Watcher,
) -> anyhow::Result<Exported> {
    let archive = whole(database)?;
    let exists = || format!("{} exists, and an export overwrites nothing: choose another name", to.display());
    ensure!(to.symlink_metadata().is_err(), exists());
    let partial = with_suffix(to, ".partial");
    let mut file = partial::open(&partial)?;
    let unwritable = || format!("cannot write {}", partial.display());
    let (mut position, continued) = match partial::resume(&mut file, rules).with_context(unwritable)? {
        Some(position) => {
            let bounds = archive.export_bounds()?;
            ensure!(
                position.bounds.epoch == bounds.epoch,
                "{} is from another database, or from before this one was restored: delete it",
                partial.display()
            );
            let continued = position.messages;
            (position, continued)
        }
        None => {
            let position = Position::begin(archive.export_bounds()?);
            file.write_all(&written::header(&position.bounds)).with_context(unwritable)?;
            (position, 0)
        }
    };
    write(&archive, &mut position, &file, watcher)
        .with_context(|| format!("{} is unfinished; run the same command again to go on", partial.display()))?;
    file.sync_all().with_context(unwritable)?;
    match give_name(&partial, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{}, and move {} to it", exists(), partial.display())
        }
        named => named.with_context(|| format!("cannot write {}", to.display()))?,
    }
    Ok(exported(position, continued))
}

/// Writes the same to an output, such as a pipe. It cannot be continued.
///
/// # Errors
///
/// If the database cannot be read, the output cannot be written, or the watcher stops.
pub(crate) fn export_to_output(database: &Path, output: impl Write, watcher: &mut Watcher) -> anyhow::Result<Exported> {
    let archive = whole(database)?;
    let mut position = Position::begin(archive.export_bounds()?);
    let mut output = output;
    output.write_all(&written::header(&position.bounds)).context("cannot write")?;
    write(&archive, &mut position, output, watcher)?;
    Ok(exported(position, 0))
}

/// Opens a database, if it holds all that it is to hold.
fn whole(database: &Path) -> anyhow::Result<Archive> {
    let opened = Archive::open(database).and_then(|archive| {
        archive.refuse_unfinished_import()?;
        Ok(archive)
    });
    opened.with_context(|| database.display().to_string())
}

fn exported(position: Position, continued: u64) -> Exported {
    let Position { rooms, messages, digest, .. } = position;
    Exported { rooms, messages, continued, sha256: hex(digest) }
}

/// Writes what comes after a position, and the last line.
fn write(archive: &Archive, position: &mut Position, to: impl Write, watcher: &mut Watcher) -> anyhow::Result<()> {
    let mut to = BufWriter::with_capacity(1 << 18, to);
    watcher.begin("writing messages", archive.messages_about()?);
    watcher.advance(position.messages);
    // The room of the last line may have more.
    if position.rooms > 0 {
        messages(archive, position, &mut to, watcher)?;
    }
    let mut line = Vec::new();
    loop {
        let rooms = archive.export_rooms(position.room, &position.bounds)?;
        if rooms.is_empty() {
            break;
        }
        for room in rooms {
            written::room(&mut line, &room);
            put(&mut to, position, &line)?;
            (position.room, position.seq) = (room.id, Seq(0));
            position.rooms += 1;
            messages(archive, position, &mut to, watcher)?;
        }
    }
    let end = written::end(position.rooms, position.messages, &hex(position.digest.clone()));
    to.write_all(&end).and_then(|()| to.flush()).context("cannot write")
}

/// Writes the messages of a room after a position.
fn messages(
    archive: &Archive,
    position: &mut Position,
    to: &mut impl Write,
    watcher: &mut Watcher,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    loop {
        ensure!(!watcher.is_stopped(), "stopped");
        let page = archive.export_messages(position.room, position.seq, &position.bounds)?;
        let Some(last) = page.last() else { return Ok(()) };
        position.seq = last.seq;
        for message in &page {
            written::message(&mut line, message);
            put(to, position, &line)?;
        }
        position.messages += page.len() as u64;
        watcher.advance(position.messages);
    }
}

fn put(to: &mut impl Write, position: &mut Position, line: &[u8]) -> anyhow::Result<()> {
    position.digest.update(line);
    to.write_all(line).context("cannot write")
}

/// The digest of rooms as an export would write them, in this order.
pub(super) fn digest_of(archive: &Archive, rooms: &[RoomId], watcher: &mut Watcher) -> anyhow::Result<String> {
    let bounds = archive.export_bounds()?;
    let mut position = Position::begin(bounds);
    let mut line = Vec::new();
    for id in rooms {
        let room = archive.room(*id)?.with_context(|| format!("room {id} is missing"))?;
        written::room(&mut line, &room);
        put(&mut std::io::sink(), &mut position, &line)?;
        (position.room, position.seq) = (*id, Seq(0));
        messages(archive, &mut position, &mut std::io::sink(), watcher)?;
    }
    Ok(hex(position.digest))
}
