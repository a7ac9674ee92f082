//! What a line may hold: the limits of live rooms and messages. Errors name the field and the limit.

use std::borrow::Cow;
use std::sync::Arc;

use super::fields::{Fields, needed};
use super::written::FORMAT;
use crate::config::Limits;
use ondol_host_model::{Draft, Message, MessageId, Room, RoomId, Seq, Speaker, Timestamp, User};

/// The longest name of a room, and of a message's `client_id`, in characters, as for handlers.
const ROOM_NAME_CHARS_MAX: usize = 100;
const CLIENT_ID_CHARS_MAX: usize = 64;

/// The highest id of a room and the highest `seq`: both are halves of a key.
const ROOM_ID_MAX: u64 = i32::MAX as u64;
pub(super) const SEQ_MAX: u64 = u32::MAX as u64;

/// The highest id of a message: half of what JavaScript counts exactly, so that as many are left.
pub(super) const MESSAGE_ID_MAX: u64 = 1 << 52;

/// The highest post, as in requests.
const POST_ID_MAX: u64 = i64::MAX as u64;

/// The limits of an import.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    limits: Limits,
    draft_bytes_max: usize,
}

/// The first line of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether `ondol export` wrote the file, and its last line is therefore there.
    pub(super) is_ours: bool,
    pub(super) epoch: Option<String>,
    pub(super) last_id: u64,
    pub(super) last_room: u64,
}

/// The last line of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) rooms: u64,
    pub(super) messages: u64,
    pub(super) sha256: String,
}

/// A message whose numbers may be left to the import.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) room: RoomId,
    pub(super) seq: Option<u64>,
    pub(super) id: Option<u64>,
    pub(super) created_at: Timestamp,
    pub(super) sender: User,
    pub(super) draft: Draft,
}

impl Given {
    pub(super) fn into_message(self, seq: Seq, id: MessageId, sender: Arc<Speaker>) -> Message {
        let Self { room, draft, created_at, .. } = self;
        Message { id, room, seq, sender, draft, created_at, origin: None }
    }
}

impl Rules {
    /// The limits of a configuration.
    pub(crate) fn new(limits: &Limits) -> Self {
        let draft_bytes_max = limits.of("messages").handler_answer_bytes_max;
        Self { limits: limits.clone(), draft_bytes_max }
    }

    /// The longest line that a message within these limits has: each character escaped.
    pub(super) fn line_bytes_max(&self) -> usize {
        let limits = &self.limits;
        let user = [
            limits.user_id_chars_max,
            limits.nickname_chars_max,
            limits.email_chars_max,
            limits.profile_url_chars_max,
            CLIENT_ID_CHARS_MAX,
        ];
        // `\u0000` for one byte, and twice that for a character of four.
        6 * self.draft_bytes_max + 12 * user.iter().sum::<usize>() + 4_096
    }

    pub(super) fn header(&self, mut fields: Fields<'_>) -> Result<Header, String> {
        fields.only("first", &["format", "created_at", "ondol", "epoch", "last_id", "last_room"])?;
        let format = needed("format", fields.number("format", 0, u64::MAX)?)?;
        if format != FORMAT {
            return Err(format!("format: {format}, and this program reads format {FORMAT}"));
        }
        Ok(Header {
            is_ours: fields.text("ondol")?.is_some(),
            epoch: fields.text("epoch")?.map(Cow::into_owned),
            last_id: fields.number("last_id", 0, MESSAGE_ID_MAX)?.unwrap_or(0),
            last_room: fields.number("last_room", 0, ROOM_ID_MAX)?.unwrap_or(0),
        })
    }

    pub(super) fn end(&self, mut fields: Fields<'_>) -> Result<End, String> {
        fields.only("last", &["rooms", "messages", "sha256"])?;
        Ok(End {
            rooms: needed("rooms", fields.number("rooms", 0, u64::MAX)?)?,
            messages: needed("messages", fields.number("messages", 0, u64::MAX)?)?,
            sha256: needed("sha256", fields.text("sha256")?)?.into_owned(),
        })
    }

    pub(super) fn room(&self, mut fields: Fields<'_>) -> Result<Room, String> {
        fields.only("room", &["id", "name", "post_id", "owner", "created_at"])?;
        let id = needed("id", fields.number("id", 1, ROOM_ID_MAX)?)?;
        let name = needed("name", fields.text("name")?)?;
        if name.is_empty() || ondol_text::is_longer(&name, ROOM_NAME_CHARS_MAX) {
            return Err(format!("name: not 1 to {ROOM_NAME_CHARS_MAX} characters"));
        }
        no_null("name", &name)?;
        let owner = fields.text("owner")?;
        let owner = owner.map(|owner| self.user_id("owner", &owner)).transpose()?;
        Ok(Room {
            id: RoomId(id),
            name: name.into_owned(),
            post_id: fields.number("post_id", 0, POST_ID_MAX)?,
            owner,
            created_at: time(&mut fields)?,
        })
    }

    pub(super) fn message(&self, mut fields: Fields<'_>) -> Result<Given, String> {
        const NAMES: [&str; 12] = [
            "room",
            "seq",
            "id",
            "created_at",
            "user_id",
            "nickname",
            "email",
            "profile_url",
            "text",
            "parent",
            "client_id",
            "extra",
        ];
        fields.only("message", &NAMES)?;
        let room = needed("room", fields.number("room", 1, ROOM_ID_MAX)?)?;
        let seq = fields.number("seq", 1, SEQ_MAX)?;
        let id = fields.number("id", 1, MESSAGE_ID_MAX)?;
        let created_at = time(&mut fields)?;
        let sender = self.sender(&mut fields)?;
        let draft = self.draft(&mut fields)?;
        match (draft.parent, id) {
            (Some(_), None) => return Err("parent: only a message with an id has one".to_owned()),
            (Some(MessageId(parent)), Some(id)) if parent >= id => {
                return Err("parent: not below the message's own id".to_owned());
            }
            _ => {}
        }
        Ok(Given { room: RoomId(room), seq, id, created_at, sender, draft })
    }

    fn draft(&self, fields: &mut Fields<'_>) -> Result<Draft, String> {
        let text = needed("text", fields.text("text")?)?;
        let extra = fields.text("extra")?;
        let client_id = fields.text("client_id")?;
        no_null("text", &text)?;
        no_null("extra", extra.as_deref().unwrap_or_default())?;
        if text.len() + extra.as_ref().map_or(0, |extra| extra.len()) > self.draft_bytes_max {
            let field = if extra.is_some() { "text and extra" } else { "text" };
            return Err(format!("{field}: more than handler_answer_bytes_max = {} bytes", self.draft_bytes_max));
        }
        if let Some(client_id) = &client_id {
            if !(1..=CLIENT_ID_CHARS_MAX).contains(&client_id.chars().count()) {
                return Err(format!("client_id: not 1 to {CLIENT_ID_CHARS_MAX} characters"));
            }
            no_null("client_id", client_id)?;
        }
        Ok(Draft {
            text: text.into_owned(),
            client_id: client_id.map(Cow::into_owned),
            parent: fields.number("parent", 1, MESSAGE_ID_MAX)?.map(MessageId),
            extra: extra.map(Cow::into_owned),
        })
    }

    fn sender(&self, fields: &mut Fields<'_>) -> Result<User, String> {
        let limits = &self.limits;
        let id = self.user_id("user_id", &needed("user_id", fields.text("user_id")?)?)?;
        let nickname = needed("nickname", fields.text("nickname")?)?;
        let nickname =
            value("nickname", &ondol_text::name(&nickname), "nickname_chars_max", limits.nickname_chars_max)?;
        let email =
            value("email", &needed("email", fields.text("email")?)?, "email_chars_max", limits.email_chars_max)?;
        let profile_url = match fields.text("profile_url")?.filter(|url| !url.is_empty()) {
            None => None,
            Some(url) => {
                let url = value("profile_url", &url, "profile_url_chars_max", limits.profile_url_chars_max)?;
                let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
                if !url.starts_with('/') && !matches!(scheme.as_deref(), Some("http" | "https")) {
                    return Err("profile_url: neither an http or https URL nor a path from / on".to_owned());
                }
                Some(url)
            }
        };
        Ok(User { id, nickname, email, profile_url })
    }

    /// A user's id as it is kept: composed.
    fn user_id(&self, field: &str, id: &str) -> Result<String, String> {
        value(field, &ondol_text::nfc(id), "user_id_chars_max", self.limits.user_id_chars_max)
    }
}

/// A value of an identity, under the rules of live ones.
fn value(field: &str, value: &str, limit: &str, chars_max: usize) -> Result<String, String> {
    if value.contains(char::is_control) {
        return Err(format!("{field}: it holds a control character"));
    }
    if ondol_text::is_longer(value, chars_max) {
        return Err(format!("{field}: more than {limit} = {chars_max} characters"));
    }
    if ondol_text::is_blank(value) {
        return Err(format!("{field}: nothing of it is visible"));
    }
    Ok(value.to_owned())
}

fn no_null(field: &str, text: &str) -> Result<(), String> {
    if text.contains('\0') { Err(format!("{field}: it holds U+0000")) } else { Ok(()) }
}

fn time(fields: &mut Fields<'_>) -> Result<Timestamp, String> {
    let text = needed("created_at", fields.text("created_at")?)?;
    text.parse().map_err(|()| "created_at: not a time of RFC 3339 with an offset, from 1970 on".to_owned())
}
