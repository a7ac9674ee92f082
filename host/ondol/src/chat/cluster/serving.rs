//! A room's home and one host that is attached to it: what that host asks is done in its order. Frames of one connection are
//! handled one after another, those of several beside each other, as if they were connections of this host.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::Hosts;
use super::peer::{Peer, RemoteReply};
use super::presence;
use super::record::{Asked, At, Newcomer, Person, Record, Sent, Told};
use crate::chat::open_rooms::OpenRooms;
use crate::chat::reply::{Reply, SayError};
use crate::chat::room_queue::RoomQueue;
use crate::chat::say;
use ondol_host_model::{RequestId, RoomId, Seq, Speaker, User};
use ondol_host_rooms::Flow;

/// What comes from the host, or happens to it.
pub(super) enum Event {
    Asked(u64, Asked, Bytes),
    /// Something of what it asked is lost: until it attaches again, nothing counts. It has to soon, if it has connections.
    Missed,
    /// It is gone.
    Gone,
}

/// The host, while it is attached.
pub(super) struct Serving {
    peer: Arc<Peer>,
    room: Arc<RoomQueue>,
    people: HashMap<u64, Visitor>,
    /// Frames that it sends again although they are in flight.
    repeated: HashSet<i64>,
    /// Nothing counts until it attaches again, which it does before this time if it has connections.
    stale_until: Option<Instant>,
}

/// A connection at the other host.
struct Visitor {
    user: Arc<Speaker>,
    flow: Arc<Flow>,
    pause_ms: Arc<AtomicU64>,
    /// What it says, once it has said something.
    frames: Option<mpsc::UnboundedSender<(i64, Sent)>>,
}

impl Serving {
    /// Serves a host that attaches itself to a room, until it is gone or has no connection in the room any more.
    pub(super) async fn run(
        rooms: Arc<OpenRooms>,
        hosts: Arc<Hosts>,
        [host, room]: [u64; 2],
        mut events: mpsc::UnboundedReceiver<Event>,
    ) {
        let (room, host) = (RoomId(room), i32::try_from(host).unwrap_or_default());
        let mut serving: Option<Self> = None;
        loop {
            let event = match serving.as_ref().and_then(|serving| serving.stale_until) {
                None => events.recv().await,
                Some(until) => match timeout_at(until, events.recv()).await {
                    Ok(event) => event,
                    // It has none, or attaches anew.
                    Err(_) => return serving.into_iter().for_each(Self::give_up),
                },
            };
            let Some(event) = event else { break };
            let (attachment, asked, body) = match event {
                Event::Asked(attachment, asked, body) => (attachment, asked, body),
                Event::Missed => {
                    if let Some(serving) = &mut serving {
                        let until = Instant::now() + presence::grace(&serving.room);
                        serving.stale_until.get_or_insert(until);
                    }
                    continue;
                }
                Event::Gone => break,
            };
            if hosts.is_leaving() {
                continue;
            }
            match (asked, &mut serving) {
                (Asked::Attach { roster, present }, serving) => {
                    if serving.is_none() {
                        *serving = Self::open(&rooms, &hosts, host, room).await;
                    }
                    match serving {
                        Some(serving) => serving.attach(attachment, roster, present).await,
                        None => {
                            let at = At { room: room.0, attachment };
                            // If it is not told now, it asks again.
                            let _ = hosts.send(host, &Record::FromHome(at, Told::NotHome), &[]);
                            return;
                        }
                    }
                }
                (_, None) => {}
                (Asked::Detach, Some(serving)) if serving.peer.attachment() == attachment => {
                    return serving.leave_all();
                }
                (asked, Some(serving)) if serving.peer.attachment() == attachment && serving.stale_until.is_none() => {
                    serving.handle(asked, &body);
                }
                _ => {}
            }
        }
        if let Some(mut serving) = serving {
            serving.room.members.detach(host);
            sleep(presence::grace(&serving.room)).await;
            serving.leave_all();
        }
    }

    /// None: this host is not the home of the room.
    async fn open(rooms: &OpenRooms, hosts: &Arc<Hosts>, host: i32, id: RoomId) -> Option<Self> {
        let room = rooms.open(id).await.ok()?;
        if !room.is_home() {
            return None;
        }
        let peer = Peer::new(Arc::clone(hosts), host, id);
        Some(Self { peer, room, people: HashMap::new(), repeated: HashSet::new(), stale_until: None })
    }

    async fn attach(&mut self, attachment: u64, roster: Vec<Newcomer>, present: Vec<Person>) {
        // Before the room: what is in flight by now and stored later is in a run, and the host need not send it again.
        self.repeated = self.peer.attach(attachment);
        self.stale_until = None;
        presence::adopt(&self.room, &self.peer.hosts, present);
        let (last, present) = self.room.members.attach(self.peer.host, self.peer.receiver());
        let present = present.iter().map(|user| Person::from(&***user)).collect();
        let last = match last {
            Some(last) => last,
            None => match self.room.last_sent().await {
                Ok(last) => last,
                Err(error) => {
                    tracing::warn!(%error, "last seq of room {} not readable: {error}", self.room.id);
                    return self.peer.tell(Told::NotHome, &[]);
                }
            },
        };
        let here: HashSet<u64> = roster.iter().map(|newcomer| newcomer.connection).collect();
        let gone: Vec<u64> = self.people.keys().filter(|connection| !here.contains(connection)).copied().collect();
        gone.into_iter().for_each(|connection| self.leave(connection));
        roster.into_iter().for_each(|newcomer| self.join(newcomer));
        self.peer.tell(Told::Attached { seq: last.0, present }, &[]);
    }

    fn handle(&mut self, asked: Asked, body: &[u8]) {
        match asked {
            Asked::Join(newcomer) => self.join(newcomer),
            Asked::Leave { connection } => self.leave(connection),
            Asked::Frame { connection, origin, binary } => {
                if !self.repeated.remove(&origin)
                    && let Some(sent) = Sent::read(binary, body)
                {
                    self.frame(connection, origin, sent);
                }
            }
            Asked::Post { user, origin, request } => {
                if !self.repeated.remove(&origin)
                    && let Ok(body) = std::str::from_utf8(body)
                {
                    self.post(user, origin, &request, body.to_owned());
                }
            }
            Asked::Delete { origin, seqs } => {
                if !self.repeated.remove(&origin) {
                    self.delete(origin, seqs);
                }
            }
            // Handled before.
            Asked::Attach { .. } | Asked::Detach => {}
        }
    }

    fn join(&mut self, Newcomer { connection, user }: Newcomer) {
        if self.people.contains_key(&connection) {
            return;
        }
        let user = Arc::new(Speaker::new(User::from(user)));
        let flow = self.room.flow.child(self.room.pipeline.limits.speaker_bytes_max);
        self.room.join_remote(&user, || self.peer.hosts.release_for(self.room.id));
        self.people.insert(connection, Visitor { user, flow, pause_ms: Arc::default(), frames: None });
    }

    /// What it has said comes before its leave: the task that says it says this too.
    fn leave(&mut self, connection: u64) {
        if let Some(Visitor { user, frames, .. }) = self.people.remove(&connection)
            && frames.is_none()
        {
            leave(&self.room, &self.peer.hosts, &user);
        }
    }

    /// It is to attach anew, if it has connections.
    fn give_up(mut self) {
        self.peer.tell(Told::NotHome, &[]);
        self.leave_all();
    }

    fn leave_all(&mut self) {
        self.room.members.detach(self.peer.host);
        let connections: Vec<u64> = self.people.keys().copied().collect();
        connections.into_iter().for_each(|connection| self.leave(connection));
    }

    fn frame(&mut self, connection: u64, origin: i64, sent: Sent) {
        self.peer.begin(origin);
        let Some(visitor) = self.people.get_mut(&connection) else {
            // It has left, as far as is known here.
            let (peer, flow) = (Arc::clone(&self.peer), Arc::clone(&self.room.flow));
            return RemoteReply::to_frame(peer, origin, flow, Arc::default()).failed(SayError::Unknown, None);
        };
        let (room, peer) = (&self.room, &self.peer);
        let frames = visitor.frames.get_or_insert_with(|| {
            let (frames, said) = mpsc::unbounded_channel();
            let (user, flow, pause_ms) = (&visitor.user, &visitor.flow, &visitor.pause_ms);
            let speaking = Speaking {
                room: Arc::clone(room),
                peer: Arc::clone(peer),
                user: Arc::clone(user),
                flow: Arc::clone(flow),
                pause_ms: Arc::clone(pause_ms),
            };
            tokio::spawn(speaking.run(said));
            frames
        });
        // Bounded: the other host reads a client no further than this one lets it say more.
        let _ = frames.send((origin, sent));
    }

    fn post(&self, user: Person, origin: i64, request: &str, body: String) {
        self.peer.begin(origin);
        let (room, peer) = (Arc::clone(&self.room), Arc::clone(&self.peer));
        let request = RequestId::of_request(Some(request));
        tokio::spawn(async move {
            let (release, user) = (peer.hosts.release_for(room.id), Arc::new(Speaker::new(User::from(user))));
            let may_speak = room.may_speak(false);
            let reply = Reply::remote(RemoteReply::to_request(peer, origin, Arc::clone(&room.flow)), request);
            if may_speak {
                say::say_here(&room, release, &user, Sent::Body(body).as_frame(), reply).await;
            } else {
                reply.failed(SayError::Busy, None);
            }
        });
    }

    fn delete(&self, origin: i64, seqs: Vec<u64>) {
        self.peer.begin(origin);
        let reply = RemoteReply::to_request(Arc::clone(&self.peer), origin, Arc::clone(&self.room.flow));
        let room = Arc::clone(&self.room);
        tokio::spawn(async move {
            match room.delete_here(seqs.into_iter().map(Seq).collect()).await {
                Ok(deletion) => reply.deleted(deletion),
                Err(error) => {
                    tracing::error!(room = room.id.0, %error, "messages of room {} not deleted: {error}", room.id);
                    reply.failed(SayError::NotStored, None);
                }
            }
        });
    }
}

/// A connection at another host that speaks.
struct Speaking {
    room: Arc<RoomQueue>,
    peer: Arc<Peer>,
    user: Arc<Speaker>,
    flow: Arc<Flow>,
    pause_ms: Arc<AtomicU64>,
}

impl Speaking {
    async fn run(self, mut said: mpsc::UnboundedReceiver<(i64, Sent)>) {
        while let Some((origin, sent)) = said.recv().await {
            self.may_speak().await;
            let (flow, pause_ms) = (Arc::clone(&self.flow), Arc::clone(&self.pause_ms));
            let reply = RemoteReply::to_frame(Arc::clone(&self.peer), origin, flow, pause_ms);
            let request = RequestId::of_request(Some(&format!("{}-{origin:x}", self.peer.host)));
            let release = self.peer.hosts.release_for(self.room.id);
            say::say_here(&self.room, release, &self.user, sent.as_frame(), Reply::remote(reply, request)).await;
            let pause = self.pause_ms.swap(0, Ordering::Relaxed);
            if pause > 0 {
                sleep(Duration::from_millis(pause)).await;
            }
        }
        leave(&self.room, &self.peer.hosts, &self.user);
    }

    async fn may_speak(&self) {
        let (room, flow) = (&self.room, &self.flow);
        let may_speak = || flow.is_low() && room.may_speak(flow.bytes() > 0);
        poll_fn(|context| match flow.poll_until(context, may_speak) {
            std::task::Poll::Ready(()) => std::task::Poll::Ready(()),
            std::task::Poll::Pending => room.flow.poll_until(context, may_speak),
        })
        .await;
    }
}

fn leave(room: &Arc<RoomQueue>, hosts: &Hosts, user: &Arc<Speaker>) {
    room.leave_remote(user, || hosts.release_for(room.id));
}
