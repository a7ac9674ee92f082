//! Lines as an export writes them: always the same bytes for the same room or message, so that digests can be compared.

use serde::{Serialize, Serializer};

use ondol_host_model::{Message, Room, Timestamp};
use ondol_host_store::ExportBounds;

/// The version of the format.
pub(super) const FORMAT: u64 = 1;

#[derive(Serialize)]
#[serde(tag = "type")]
enum Line<'a> {
    #[serde(rename = "ondol.export")]
    Header { format: u64, created_at: Time, ondol: &'a str, epoch: &'a str, last_id: u64, last_room: u64 },
    #[serde(rename = "room")]
    Room {
        id: u64,
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        post_id: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<&'a str>,
        created_at: Time,
    },
    #[serde(rename = "message")]
    Message {
        room: u64,
        seq: u64,
        id: u64,
        created_at: Time,
        user_id: &'a str,
        nickname: &'a str,
        email: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        profile_url: Option<&'a str>,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        parent: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        extra: Option<&'a str>,
    },
    #[serde(rename = "end")]
    End { rooms: u64, messages: u64, sha256: &'a str },
}

struct Time(Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The first line of an export that begins now.
pub(super) fn header(bounds: &ExportBounds) -> Vec<u8> {
    let mut line = Vec::new();
    let created_at = Time(Timestamp::now());
    let (epoch, last_id, last_room) = (&*bounds.epoch, bounds.last_id.0, bounds.last_room.0);
    let ondol = env!("CARGO_PKG_VERSION");
    write(&mut line, &Line::Header { format: FORMAT, created_at, ondol, epoch, last_id, last_room });
    line
}

/// Puts a room's line in place of what the buffer held.
pub(super) fn room(line: &mut Vec<u8>, room: &Room) {
    let Room { id, name, post_id, owner, created_at } = room;
    let (created_at, owner) = (Time(*created_at), owner.as_deref());
    write(line, &Line::Room { id: id.0, name, post_id: *post_id, owner, created_at });
}

/// Puts a message's line in place of what the buffer held.
pub(super) fn message(line: &mut Vec<u8>, message: &Message) {
    let (sender, draft) = (&message.sender, &message.draft);
    let message = Line::Message {
        room: message.room.0,
        seq: message.seq.0,
        id: message.id.0,
        created_at: Time(message.created_at),
        user_id: &sender.id,
        nickname: &sender.nickname,
        email: &sender.email,
        profile_url: sender.profile_url.as_deref(),
        text: &draft.text,
        parent: draft.parent.map(|parent| parent.0),
        client_id: draft.client_id.as_deref(),
        extra: draft.extra.as_deref(),
    };
    write(line, &message);
}

/// The last line of a file.
pub(super) fn end(rooms: u64, messages: u64, sha256: &str) -> Vec<u8> {
    let mut line = Vec::new();
    write(&mut line, &Line::End { rooms, messages, sha256 });
    line
}

fn write(buffer: &mut Vec<u8>, line: &Line<'_>) {
    buffer.clear();
    // Numbers and texts into memory: this does not fail.
    let _ = serde_json::to_writer(&mut *buffer, line);
    buffer.push(b'\n');
}
