//! Reads a file as rooms and messages in their order, gives numbers where the file has none, and computes digests.

use std::collections::HashMap;
use std::io::{self, BufRead};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::fields::Fields;
use super::lines::{Line, Lines};
use super::rules::{End, Given, Header, MESSAGE_ID_MAX, Rules, SEQ_MAX};
use super::written;
use ondol_host_model::{Message, MessageId, Room, RoomId, Seq, Speaker, User};
use ondol_host_store::ImportRow;

/// Senders that are remembered, so that the same one is looked up once. Past this number all are forgotten.
const SENDERS_MAX: usize = 10_000;

/// Reads a file.
pub(super) struct Reader<'r, R> {
    rules: &'r Rules,
    lines: Lines<R>,
    buffer: Vec<u8>,
    senders: HashMap<[String; 4], Arc<Speaker>>,
    /// The lines that were read.
    pub(super) line: u64,
    pub(super) rooms: u64,
    pub(super) messages: u64,
    /// The first line, once it was read.
    pub(super) header: Option<Header>,
    end: Option<End>,
    /// The room whose messages come. None within: its line is wrong.
    room: Option<Option<RoomId>>,
    last: (Seq, MessageId),
    /// The next id for messages without one.
    next_id: u64,
    /// Whether messages have ids: all or none.
    pub(super) has_ids: Option<bool>,
    pub(super) last_id: MessageId,
    digests: Digests,
    is_sound: bool,
}

/// What a line is. The one after the last of the file is None.
pub(super) type Row = Result<ImportRow, String>;

impl<'r, R: BufRead> Reader<'r, R> {
    /// `first_id` is for messages without an id.
    pub(super) fn new(rules: &'r Rules, input: R, first_id: u64) -> Self {
        Self {
            rules,
            lines: Lines::new(input, rules.line_bytes_max()),
            buffer: Vec::new(),
            senders: HashMap::new(),
            line: 0,
            rooms: 0,
            messages: 0,
            header: None,
            end: None,
            room: None,
            last: (Seq(0), MessageId(0)),
            next_id: first_id,
            has_ids: None,
            last_id: MessageId(0),
            digests: Digests::default(),
            is_sound: true,
        }
    }

    /// The next room, message or problem, which is on the line [`Reader::line`].
    pub(super) fn next(&mut self) -> io::Result<Option<Row>> {
        loop {
            let found = self.lines.next(&mut self.buffer)?;
            if found == Line::End {
                let missing = self.missing();
                self.is_sound = false;
                self.line = self.line.max(1);
                return Ok(missing.map(Err));
            }
            self.line += 1;
            let line = std::mem::take(&mut self.buffer);
            let read = match found {
                Line::Whole => self.read(&line),
                _ => Err(format!("more than {} bytes, which no message has", self.rules.line_bytes_max())),
            };
            self.buffer = line;
            self.is_sound &= read.is_ok();
            if let Some(row) = read.transpose() {
                return Ok(Some(row));
            }
        }
    }

    /// The digest of the lines of rooms and messages, as the file has them.
    pub(super) fn digest(&self) -> String {
        hex(self.digests.raw.clone())
    }

    /// The same as an export would write them.
    pub(super) fn written_digest(&self) -> String {
        hex(self.digests.written.clone().unwrap_or_else(|| self.digests.raw.clone()))
    }

    /// What is missing at the end of the file.
    fn missing(&self) -> Option<String> {
        match (&self.header, &self.end) {
            _ if !self.is_sound => None,
            (None, _) => Some("the first line is missing: the file is empty".to_owned()),
            (Some(header), None) if header.is_ours => Some("the last line is missing: the file was cut off".to_owned()),
            _ => None,
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<Option<ImportRow>, String> {
        if self.end.is_some() {
            return Err("a line after the last one".to_owned());
        }
        // An editor on Windows may have put a mark of the byte order before the first line.
        let text = if self.line == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let parsed = Fields::parse(text);
        let kind = parsed.and_then(|mut fields| Ok((fields.text("type")?, fields)));
        let is_header = matches!(&kind, Ok((Some(kind), _)) if kind == "ondol.export");
        if self.line == 1 && !is_header {
            self.header = Some(Header { is_ours: false, epoch: None, last_id: 0, last_room: 0 });
            return Err("not the first line of an export: {\"type\":\"ondol.export\",\"format\":1}".to_owned());
        }
        if !matches!(&kind, Ok((Some(kind), _)) if kind == "ondol.export" || kind == "end") {
            self.digests.line(line);
        }
        let (kind, fields) = kind?;
        match kind.as_deref() {
            Some("ondol.export") if self.line > 1 => Err("type: a second first line".to_owned()),
            Some("ondol.export") => {
                let header = self.rules.header(fields);
                self.next_id = self.next_id.max(header.as_ref().map_or(0, |header| header.last_id + 1));
                self.header = Some(header?);
                Ok(None)
            }
            Some("room") => {
                self.rooms += 1;
                (self.room, self.last) = (Some(None), (Seq(0), MessageId(0)));
                let room = self.rules.room(fields)?;
                self.room = Some(Some(room.id));
                self.digests.room(line, &room);
                Ok(Some(ImportRow::Room(room)))
            }
            Some("message") => {
                self.messages += 1;
                let given = self.rules.message(fields)?;
                let message = self.message(given)?;
                self.digests.message(line, &message);
                Ok(Some(ImportRow::Message(message)))
            }
            Some("end") => {
                let end = self.rules.end(fields)?;
                let checked = if self.is_sound { self.check_end(&end) } else { Ok(()) };
                self.end = Some(end);
                checked.map(|()| None)
            }
            Some(_) => Err("type: neither room, message nor end".to_owned()),
            None => Err("type: missing".to_owned()),
        }
    }

    fn check_end(&self, end: &End) -> Result<(), String> {
        if (end.rooms, end.messages) != (self.rooms, self.messages) {
            return Err(format!(
                "rooms, messages: {} and {}, but the file has {} and {}",
                end.rooms, end.messages, self.rooms, self.messages
            ));
        }
        if end.sha256 != self.digest() {
            return Err(format!("sha256: the lines of the file have {}", self.digest()));
        }
        Ok(())
    }

    /// A message with its numbers, if they follow those before it.
    fn message(&mut self, given: Given) -> Result<Message, String> {
        match self.room {
            None => return Err("room: no room line before the message".to_owned()),
            Some(Some(room)) if room != given.room => {
                return Err(format!("room: {}, but the room line before it is of room {room}", given.room));
            }
            Some(_) => {}
        }
        let (last_seq, last_id) = self.last;
        let seq = given.seq.unwrap_or(last_seq.0 + 1);
        if seq > SEQ_MAX {
            return Err(format!("seq: the room has more than {SEQ_MAX} messages"));
        }
        if seq <= last_seq.0 {
            return Err(format!("seq: {seq}, after {} in the same room", last_seq.0));
        }
        if *self.has_ids.get_or_insert(given.id.is_some()) != given.id.is_some() {
            return Err("id: all messages of a file have one, or none has".to_owned());
        }
        let id = given.id.unwrap_or(self.next_id);
        if id > MESSAGE_ID_MAX {
            return Err(format!("id: above {MESSAGE_ID_MAX}"));
        }
        if id <= last_id.0 {
            return Err(format!("id: {id}, after {} in the same room", last_id.0));
        }
        self.next_id += u64::from(given.id.is_none());
        self.last = (Seq(seq), MessageId(id));
        self.last_id = self.last_id.max(MessageId(id));
        let sender = self.sender(&given.sender);
        Ok(given.into_message(Seq(seq), MessageId(id), sender))
    }

    fn sender(&mut self, user: &User) -> Arc<Speaker> {
        let url = user.profile_url.clone().unwrap_or_default();
        let key = [user.id.clone(), user.nickname.clone(), user.email.clone(), url];
        if self.senders.len() >= SENDERS_MAX && !self.senders.contains_key(&key) {
            self.senders.clear();
        }
        Arc::clone(self.senders.entry(key).or_insert_with(|| Arc::new(Speaker::new(user.clone()))))
    }
}

/// The digest of the lines as they are, and of those that an export would write. They are one until a line differs.
#[derive(Default)]
struct Digests {
    raw: Sha256,
    /// Without the last line.
    before: Sha256,
    written: Option<Sha256>,
    buffer: Vec<u8>,
}

impl Digests {
    fn line(&mut self, line: &[u8]) {
        self.before = self.raw.clone();
        self.raw.update(line);
    }

    fn room(&mut self, line: &[u8], room: &Room) {
        written::room(&mut self.buffer, room);
        self.written(line);
    }

    fn message(&mut self, line: &[u8], message: &Message) {
        written::message(&mut self.buffer, message);
        self.written(line);
    }

    fn written(&mut self, line: &[u8]) {
        if self.written.is_none() && self.buffer != line {
            self.written = Some(self.before.clone());
        }
        if let Some(written) = &mut self.written {
            written.update(&self.buffer);
        }
    }
}

pub(super) fn hex(digest: Sha256) -> String {
    HEXLOWER.encode(&digest.finalize())
}
