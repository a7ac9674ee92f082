//! The server that Ondol is compared with: rooms and broadcast over tokio-tungstenite and nothing else. No check of what is
//! sent, no store, no identity. Written for speed, within what the libraries offer:
//!
//! - a frame is built once and shared by all receivers;
//! - each connection has a bounded outbox, and a connection whose outbox is full is dropped;
//! - the sending half takes all that waits in its outbox and flushes once;
//! - `TCP_NODELAY`, tungstenite's own buffer sizes.
//!
//! It numbers the messages of each room, so that the benchmark can check every delivery.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{self, Message};

/// Messages that may wait for one connection.
const OUTBOX_MESSAGES_MAX: usize = 1024;

/// Serves until it is killed; prints its address.
pub(crate) fn main(listen: SocketAddr) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(listen))
}

async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on {}", listener.local_addr()?);
    let rooms = Arc::new(Rooms::default());
    for id in 0.. {
        let (socket, _) = listener.accept().await?;
        let rooms = Arc::clone(&rooms);
        tokio::spawn(async move {
            // A broken connection concerns its client alone.
            let _ = member(socket, id, &rooms).await;
        });
    }
    Ok(())
}

/// One connection, from its handshake to its end.
async fn member(socket: TcpStream, id: u64, rooms: &Rooms) -> tungstenite::Result<()> {
    socket.set_nodelay(true)?;
    let mut name = None;
    let web_socket = tokio_tungstenite::accept_hdr_async(socket, Admit(&mut name)).await?;
    let room = rooms.enter(&name.unwrap_or_default());

    let (mut sink, mut stream) = web_socket.split();
    let (outbox, mut inbox) = mpsc::channel(OUTBOX_MESSAGES_MAX);
    room.join(id, outbox);
    let sending = tokio::spawn(async move {
        while let Some(message) = inbox.recv().await {
            sink.feed(message).await?;
            while let Ok(message) = inbox.try_recv() {
                sink.feed(message).await?;
            }
            sink.flush().await?;
        }
        sink.close().await
    });
    while let Some(Ok(frame)) = stream.next().await {
        match frame {
            Message::Text(text) => room.publish(&text),
            Message::Close(_) => break,
            _ => {}
        }
    }
    room.leave(id);
    rooms.remove_if_empty(&room);
    sending.await.unwrap_or(Ok(()))
}

/// Takes the room's name from `/ws/chat/{room}/chat/`; 404 for any other path.
struct Admit<'a>(&'a mut Option<String>);

impl Callback for Admit<'_> {
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        let room = request.uri().path().strip_prefix("/ws/chat/").and_then(|rest| rest.strip_suffix("/chat/"));
        *self.0 = room.map(str::to_owned);
        if room.is_some() {
            return Ok(response);
        }
        let mut refused = ErrorResponse::new(None);
        *refused.status_mut() = tungstenite::http::StatusCode::NOT_FOUND;
        Err(refused)
    }
}

#[derive(Default)]
struct Rooms(Mutex<HashMap<String, Arc<Room>>>);

impl Rooms {
    fn enter(&self, name: &str) -> Arc<Room> {
        let mut rooms = lock(&self.0);
        let room = rooms.entry(name.to_owned()).or_insert_with(|| Arc::new(Room::new(name)));
        Arc::clone(room)
    }

    /// An empty room is referenced by the map and the caller only.
    fn remove_if_empty(&self, room: &Arc<Room>) {
        let mut rooms = lock(&self.0);
        if Arc::strong_count(room) == 2 && lock(&room.state).members.is_empty() {
            rooms.remove(&room.name);
        }
    }
}

struct Room {
    name: String,
    state: Mutex<RoomState>,
}

#[derive(Default)]
struct RoomState {
    seq: u64,
    members: Vec<(u64, mpsc::Sender<Message>)>,
}

impl Room {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), state: Mutex::default() }
    }

    fn join(&self, id: u64, outbox: mpsc::Sender<Message>) {
        lock(&self.state).members.push((id, outbox));
    }

    fn leave(&self, id: u64) {
        lock(&self.state).members.retain(|(member, _)| *member != id);
    }

    /// Sends a frame to every member, the sender included. The room and the number go in before the closing brace.
    fn publish(&self, frame: &str) {
        let Some(open) = frame.strip_suffix('}') else { return };
        let mut state = lock(&self.state);
        state.seq += 1;
        let message = Message::text(format!(r#"{open},"room":{},"seq":{}}}"#, self.name, state.seq));
        state.members.retain(|(_, outbox)| outbox.try_send(message.clone()).is_ok());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
