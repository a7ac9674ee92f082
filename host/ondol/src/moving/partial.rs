//! An export that was cut off: what of it is whole, so that it goes on there.

use std::fs::{File, TryLockError};
use std::io::{self, BufReader, Seek as _, SeekFrom};
use std::path::Path;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use super::fields::Fields;
use super::lines::{Line, Lines};
use super::rules::{Header, Rules, SEQ_MAX};
use ondol_host_model::{MessageId, RoomId, Seq};
use ondol_host_store::ExportBounds;

/// What an export has written.
pub(super) struct Position {
    pub(super) bounds: ExportBounds,
    /// The last room that was written, and its last message.
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    pub(super) rooms: u64,
    pub(super) messages: u64,
    pub(super) digest: Sha256,
}

impl Position {
    /// That of an export that begins.
    pub(super) fn begin(bounds: ExportBounds) -> Self {
        let digest = Sha256::default();
        Self { bounds, room: RoomId(0), seq: Seq(0), rooms: 0, messages: 0, digest }
    }
}

/// Opens the file of an unfinished export, or creates it. No other export writes it until it is closed.
pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another export is writing {}", path.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Finds the end of what is whole, and cuts off the rest. None: nothing is, and the file is empty now.
pub(super) fn resume(file: &mut File, rules: &Rules) -> io::Result<Option<Position>> {
    file.seek(SeekFrom::Start(0))?;
    let mut lines = Lines::new(BufReader::with_capacity(1 << 16, &*file), rules.line_bytes_max());
    let (mut line, mut whole, mut position) = (Vec::new(), 0, None);
    while lines.next(&mut line)? == Line::Whole && line.ends_with(b"\n") {
        let read = match &mut position {
            None => header(&line, rules).map(|bounds| position = Some(Position::begin(bounds))),
            Some(position) => go_on(position, &line),
        };
        if read.is_none() {
            break;
        }
        whole += line.len() as u64;
    }
    file.set_len(whole)?;
    file.seek(SeekFrom::Start(whole))?;
    Ok(position)
}

fn header(line: &[u8], rules: &Rules) -> Option<ExportBounds> {
    let mut fields = Fields::parse(line).ok()?;
    if fields.text("type").ok()?? != "ondol.export" {
        return None;
    }
    let Header { epoch, last_id, last_room, .. } = rules.header(fields).ok()?;
    Some(ExportBounds { epoch: epoch?, last_id: MessageId(last_id), last_room: RoomId(last_room) })
}

/// Takes a line in. None: it is not the next one of an export.
fn go_on(position: &mut Position, line: &[u8]) -> Option<()> {
    let mut fields = Fields::parse(line).ok()?;
    let kind = fields.text("type").ok()??;
    match &*kind {
        "room" => {
            let id = fields.number("id", position.room.0 + 1, u64::MAX).ok()??;
            (position.room, position.seq) = (RoomId(id), Seq(0));
            position.rooms += 1;
        }
        "message" => {
            fields.number("room", position.room.0, position.room.0).ok()??;
            position.seq = Seq(fields.number("seq", position.seq.0 + 1, SEQ_MAX).ok()??);
            position.messages += 1;
        }
        _ => return None,
    }
    position.digest.update(line);
    Some(())
}
