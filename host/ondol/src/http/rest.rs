//! The REST calls: paths, queries and bodies in, JSON out. Decides nothing about rooms or messages.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::{Answer, HttpError, json};
use super::body;
use super::identity::{Asked, Identity};
use super::json_fields::{Fields, whole};
use super::query::Query;
use super::state::ApiState;
use crate::chat::{Creation, Page, Said, Shown};
use ondol_host_model::{Message, RequestId, Room, RoomId, RoomRequest, Seq, Speaker};

/// How many of its latest messages a room comes with.
const LATEST: usize = 50;
/// The default number of rooms in a page.
const ROOMS: usize = 100;
/// The default number of messages in a page.
const MESSAGES: usize = 50;

/// A room as clients see it.
#[derive(Serialize)]
struct RoomBody<'a> {
    id: u64,
    name: &'a str,
    post_id: Option<u64>,
    owner: Option<&'a str>,
    chat_url: String,
    created_at: String,
    #[serde(flatten)]
    content: Option<ContentBody<'a>>,
}

/// What is in a room, and from where a client can resume.
#[derive(Serialize)]
struct ContentBody<'a> {
    epoch: &'a str,
    seq: u64,
    chat_messages: Vec<ShownBody<'a>>,
}

impl<'a> RoomBody<'a> {
    fn new(room: &'a Room, host: &str, content: Option<ContentBody<'a>>) -> Self {
        Self {
            id: room.id.0,
            name: &room.name,
            post_id: room.post_id,
            owner: room.owner.as_deref(),
            chat_url: format!("{host}/ws/chat/{}/chat/", room.id),
            created_at: room.created_at.to_string(),
            content,
        }
    }
}

/// A message as clients see it.
#[derive(Serialize)]
#[serde(untagged)]
enum ShownBody<'a> {
    Message(MessageBody<'a>),
    Event(&'a RawValue),
}

impl<'a> ShownBody<'a> {
    fn new(shown: &'a Shown) -> Self {
        match shown {
            Shown::Message(message) => Self::Message(MessageBody::new(message)),
            Shown::Event(event) => Self::Event(event),
        }
    }
}

/// A message in the host's form.
#[derive(Serialize)]
struct MessageBody<'a> {
    id: u64,
    room: u64,
    seq: u64,
    message: &'a str,
    user_id: &'a str,
    sender: &'a str,
    nickname: &'a str,
    profile_picture_url: Option<&'a str>,
    created_at: String,
    client_id: Option<&'a str>,
    parent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<&'a str>,
}

impl<'a> MessageBody<'a> {
    fn new(message: &'a Message) -> Self {
        let (sender, draft) = (&message.sender, &message.draft);
        Self {
            id: message.id.0,
            room: message.room.0,
            seq: message.seq.0,
            message: &draft.text,
            user_id: &sender.id,
            sender: &sender.email,
            nickname: &sender.nickname,
            profile_picture_url: sender.profile_url.as_deref(),
            created_at: message.created_at.to_string(),
            client_id: draft.client_id.as_deref(),
            parent: draft.parent.map(|parent| parent.0),
            extra: draft.extra.as_deref(),
        }
    }
}

/// `GET rooms/`
pub(super) async fn rooms(state: &ApiState, request: &Request<Bytes>, peer: IpAddr) -> Result<Answer, HttpError> {
    let query = Query::of(request);
    let limit = query.limit(ROOMS, state.limits.rooms_page_max)?;
    let after = query.number("after")?.unwrap_or(0);
    // One room more than requested shows whether there is a next page.
    let mut rooms = state.chat.rooms(RoomId(after), limit + 1).await?;
    let more = rooms.len() > limit;
    rooms.truncate(limit);
    let own = state.own(request, peer);
    let host = own.host();
    let bodies: Vec<_> = rooms.iter().map(|room| RoomBody::new(room, host, None)).collect();
    let mut answer = json(StatusCode::OK, &bodies);
    if let Some(last) = rooms.last().filter(|_| more) {
        let next = format!("<{}?limit={limit}&after={}>; rel=\"next\"", request.uri().path(), last.id);
        if let Ok(next) = HeaderValue::from_str(&next) {
            answer.headers_mut().insert(header::LINK, next);
        }
    }
    Ok(answer)
}

/// `GET room/{id}/`
pub(super) async fn room(
    state: &ApiState,
    request: &Request<Bytes>,
    id: RoomId,
    peer: IpAddr,
) -> Result<Answer, HttpError> {
    let room = state.chat.room(id).await?;
    // Read before the messages, so that these lack none up to it.
    let seq = state.chat.last_seq(id).await?.0;
    let messages = state.chat.messages(id, Page::Latest, LATEST, id_of(request)).await?;
    let chat_messages = messages.iter().map(ShownBody::new).collect();
    let content = ContentBody { epoch: state.chat.epoch(), seq, chat_messages };
    Ok(json(StatusCode::OK, &RoomBody::new(&room, state.own(request, peer).host(), Some(content))))
}

/// `GET room/{id}/messages/`
pub(super) async fn messages(state: &ApiState, request: &Request<Bytes>, id: RoomId) -> Result<Answer, HttpError> {
    let query = Query::of(request);
    let limit = query.limit(MESSAGES, state.limits.messages_page_max)?;
    let page = match (query.number("after")?, query.number("before")?) {
        (Some(_), Some(_)) => {
            return Err(HttpError::field("before", "invalid", "Give either after or before, not both."));
        }
        (Some(after), None) => Page::After(Seq(after)),
        (None, Some(before)) => Page::Before(Seq(before)),
        (None, None) => Page::Latest,
    };
    let messages = state.chat.messages(id, page, limit, id_of(request)).await?;
    let bodies: Vec<_> = messages.iter().map(ShownBody::new).collect();
    Ok(json(StatusCode::OK, &bodies))
}

/// `POST create-room/`
pub(super) async fn create_room(state: &ApiState, request: Request<Bytes>, peer: IpAddr) -> Result<Answer, HttpError> {
    let asked = Asked::of(&request, peer);
    let creator = match state.identity.allows_anonymous() {
        true => state.identify(&asked, Identity::optional)?,
        false => Some(state.identify(&asked, Identity::required)?),
    };
    let user = creator.as_ref().map(|caller| &caller.user);
    state.rates.room(user, state.address(request.headers(), peer))?;
    let own = state.own(&request, peer);
    let id = id_of(&request);
    let body = Fields::parse(&json_of(request)?)?;
    let name = match body.get("name")? {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err(HttpError::field("name", "invalid", "name: expected a string or null.")),
    };
    let post_id = match body.get("post_id")? {
        None | Some(Value::Null) => None,
        Some(value) => Some(whole(&value).ok_or_else(|| {
            HttpError::field(
                "post_id",
                "invalid",
                "post_id: expected a whole number from 0 to 9223372036854775807, or null.",
            )
        })?),
    };
    let (status, room) = match state.chat.create_room(RoomRequest { name, post_id }, user, &id).await? {
        Creation::Created(room) => (StatusCode::CREATED, room),
        Creation::Standing(room) => (StatusCode::OK, room),
    };
    Ok(json(status, &RoomBody::new(&room, own.host(), None)))
}

/// `POST message/`
pub(super) async fn message(state: &ApiState, request: Request<Bytes>, peer: IpAddr) -> Result<Answer, HttpError> {
    let sender = state.identify(&Asked::of(&request, peer), Identity::required)?.user;
    state.rates.message(&sender)?;
    let id = id_of(&request);
    let text = json_of(request)?;
    let body = Fields::parse(&text)?;
    let room = match body.get("room")? {
        None => return Err(HttpError::field("room", "required", "room: the number of the room is required.")),
        Some(value) => {
            whole(&value).ok_or_else(|| HttpError::field("room", "invalid", "room: expected the number of a room."))?
        }
    };
    match state.chat.say_once(RoomId(room), Arc::new(Speaker::new(sender)), text, id).await? {
        Said::Stored(shown) => Ok(json(StatusCode::CREATED, &ShownBody::new(&shown))),
        Said::NotStored => Ok(json(StatusCode::ACCEPTED, &serde_json::json!({ "detail": "Nothing was stored." }))),
    }
}

/// The request's id, which `PublicApi::answer` has set.
fn id_of(request: &Request<Bytes>) -> RequestId {
    request.extensions().get().cloned().unwrap_or_else(|| RequestId::of_request(None))
}

/// The body of a request with a JSON content type, as text. An empty body counts as an empty object, and a byte order mark
/// at its start does not count (RFC 8259, section 8.1).
fn json_of(request: Request<Bytes>) -> Result<String, HttpError> {
    if body::is_encoded(request.headers()) {
        return Err(HttpError::Coding);
    }
    // A page of another site can send an empty body without asking, but not this type.
    if !body::is_json(request.headers()) {
        return Err(HttpError::MediaType);
    }
    let text = String::from_utf8(request.into_body().into());
    let text = text.map_err(|_| HttpError::Parse("the body is not valid UTF-8".to_owned()))?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    Ok(if text.is_empty() { "{}".to_owned() } else { text })
}
