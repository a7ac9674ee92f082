//! Checks a whole file before anything of it is written: every line, the numbers, what is used twice, and the digest.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::problems::Problems;
use super::reader::Reader;
use super::{Rules, Watcher};
use ondol_host_model::{MessageId, Room, RoomId};
use ondol_host_store::{Archive, Finding, ImportCheck, ImportProgress, ImportRow, Repeated};

/// How many lines pass between two reports.
const REPORT_EVERY: u64 = 4_096;

/// A file that was checked.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The rooms in the file.
    pub(crate) rooms: u64,
    /// The messages in the file.
    pub(crate) messages: u64,
    /// Replies whose first message is not there.
    pub(crate) lost_parents: u64,
    /// What is wrong.
    pub(crate) problems: Problems,
    /// The digest of the lines.
    pub(super) digest: String,
    /// The digest of the lines as an export would write them.
    pub(super) written_digest: String,
    /// The rooms, in the order of the file.
    pub(super) room_ids: Vec<RoomId>,
    /// The id of the first message without one.
    pub(super) first_id: u64,
    /// All ids up to this count as used after the import.
    pub(super) last_id: MessageId,
}

/// Opens a file to be read more than once.
pub(super) fn open_file(file: &Path) -> anyhow::Result<File> {
    let opened = File::open(file).with_context(|| file.display().to_string())?;
    let is_file = opened.metadata().is_ok_and(|metadata| metadata.is_file());
    ensure!(is_file, "{}: an import reads its file more than once, so it must be a regular file", file.display());
    Ok(opened)
}

/// Opens the database that is there. None: there is none yet.
pub(super) fn existing(database: &Path) -> anyhow::Result<Option<Archive>> {
    Archive::open_if_exists(database).with_context(|| database.display().to_string())
}

/// Checks a file for an import into a database. Changes nothing.
pub(super) fn check(
    file: &File,
    existing: Option<&Archive>,
    progress: Option<&ImportProgress>,
    rules: &Rules,
    watcher: &mut Watcher,
) -> anyhow::Result<Checked> {
    watcher.begin("checking", file.metadata()?.len());
    let first_id = match (progress, existing) {
        (Some(progress), _) => progress.first_id,
        (None, Some(archive)) => archive.export_bounds()?.last_id.0 + 1,
        (None, None) => 1,
    };
    let mut input = file;
    std::io::Seek::rewind(&mut input)?;
    let mut reader = Reader::new(rules, BufReader::with_capacity(1 << 18, input), first_id);
    let (given, mut problems, mut room_ids) = (ImportCheck::begin()?, Problems::default(), Vec::new());
    while let Some(row) = reader.next().context("cannot read the file")? {
        let line = reader.line;
        if line.is_multiple_of(REPORT_EVERY) {
            ensure!(!watcher.is_stopped(), "stopped");
            watcher.advance(std::io::Seek::stream_position(&mut input)?);
        }
        match row {
            Err(problem) => problems.add(line, problem),
            Ok(ImportRow::Room(room)) => {
                given.room(&room, line)?;
                room_ids.push(room.id);
                // What an unfinished import has written is not in its own way.
                if let Some(archive) = existing.filter(|_| progress.is_none_or(|progress| line > progress.line)) {
                    taken(archive, &room, line, &mut problems)?;
                }
            }
            Ok(ImportRow::Message(message)) => given.message(&message, reader.has_ids == Some(true), line)?,
        }
    }
    if let Some(archive) = existing.filter(|_| reader.has_ids == Some(true)) {
        given.existing(archive, progress)?;
    }
    given.findings(|finding| report(finding, &mut problems))?;
    let last_id = reader.last_id.max(MessageId(reader.header.as_ref().map_or(0, |header| header.last_id)));
    Ok(Checked {
        rooms: reader.rooms,
        messages: reader.messages,
        lost_parents: given.lost_parents()?,
        problems,
        digest: reader.digest(),
        written_digest: reader.written_digest(),
        room_ids,
        first_id,
        last_id,
    })
}

/// Whether the database has a room's id or post already.
fn taken(archive: &Archive, room: &Room, line: u64, problems: &mut Problems) -> anyhow::Result<()> {
    let [has_id, has_post] = archive.has_room(room.id, room.post_id)?;
    if has_id {
        problems.add(line, format!("id: the database has a room {}", room.id));
    }
    if has_post {
        let post = room.post_id.unwrap_or_default();
        problems.add(line, format!("post_id: the database has a room of post {post}"));
    }
    Ok(())
}

fn report(finding: Finding, problems: &mut Problems) {
    let Finding { what, line, first, times } = finding;
    let place = first.map_or("the database".to_owned(), |first| format!("line {first}"));
    problems.add_times(
        times,
        line,
        match what {
            Repeated::Room(id) => format!("id: {place} has room {id} already"),
            Repeated::Post(post) => format!("post_id: {place} has a room of post {post} already"),
            Repeated::Message(id) => format!("id: {place} has message {id} already"),
            Repeated::ClientId => format!("client_id: {place} has it in the same room, by the same user"),
            Repeated::Parent(id) => format!("parent: message {id} is in another room ({place})"),
        },
    );
}
