//! The only repair there is: the room is claimed, or its home asked to attach this host again. What the connections missed is
//! read from the database, frames that were stored meanwhile are settled, and the others are sent again in their order.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::timeout;

use super::early::Early;
use super::link::Link;
use super::presence;
use super::record::{Asked, At, Person, Record};
use super::state::{Role, Start};
use super::unsettled::{Unsettled, What};
use crate::chat::reply::SayError;
use crate::chat::room_queue::RoomQueue;
use crate::chat::{deletion, say};
use ondol_host_model::{Seq, frame};
use ondol_host_rooms::Flow;
use ondol_host_store::{Claimed, Page};

/// How long a home may take to attach a host.
const ATTACHED_MAX: Duration = Duration::from_millis(800);

/// The pauses between attempts.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// How many messages are read at once.
const CHUNK: usize = 200;

/// Repairs a room until it is heard again, or no connection here needs it any more.
pub(super) async fn repair(room: Arc<RoomQueue>) {
    let Some(link) = &room.link else { return };
    let mut pause = PAUSE_MIN;
    loop {
        link.state().repairing.begin();
        match attempt(&room, link).await {
            Ok(()) if link.state().repairing.end() => continue,
            Ok(()) => return link.tell_changed(),
            Err(reason) => tracing::debug!(room = room.id.0, %reason, "room {} not attached: {reason}", room.id),
        }
        let is_needless = link.hosts.is_leaving() || Arc::strong_count(&room) == 1;
        if is_needless && link.state().repairing.give_up() {
            return;
        }
        let is_urgent = timeout(pause, urgent(link)).await.is_ok();
        pause = if is_urgent { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
    }
}

/// Waits until there is reason to hope for another attempt.
async fn urgent(link: &Link) {
    loop {
        let changed = link.changed();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if link.state().repairing.is_urgent() {
            return;
        }
        changed.await;
    }
}

async fn attempt(room: &Arc<RoomQueue>, link: &Link) -> Result<(), String> {
    if link.is_home() {
        return Ok(());
    }
    match link.hosts.homes.claim(room).await.map_err(|error| error.to_string())? {
        Claimed::Here { last } => {
            link.state().role = Role::Unknown;
            catch_up(room, link, last).await?;
            settle_stored(room, link).await?;
            become_home(room, link).await;
            Ok(())
        }
        Claimed::There { host } => {
            catch_up_with_store(room, link).await?;
            attach(room, link, host).await
        }
    }
}

/// Sends the room's connections what is stored, whether or not its home can be heard.
async fn catch_up_with_store(room: &Arc<RoomQueue>, link: &Link) -> Result<(), String> {
    // Runs that come meanwhile are of no attachment that counts.
    link.state().role = Role::Unknown;
    if room.members.last().is_none() {
        return Ok(());
    }
    let last = room.pipeline.store.last_seq(room.id).await.map_err(|error| error.to_string())?;
    catch_up(room, link, last).await
}

async fn attach(room: &Arc<RoomQueue>, link: &Link, home: i32) -> Result<(), String> {
    let attachment = link.hosts.next_attachment();
    let roster = {
        let mut state = link.state();
        state.role = Role::Attaching { home, attachment, from: None, early: Early::default() };
        state.latest_home = Some(home);
        state.roster()
    };
    if !link.hosts.is_known(home) {
        link.hosts.look();
        return Err(format!("host {home} is gone, or has just come"));
    }
    let known: Vec<u64> = roster.iter().map(|newcomer| newcomer.connection).collect();
    let at = At { room: room.id.0, attachment };
    let present = room.members.announced().iter().map(|user| Person::from(&***user)).collect();
    let asked = Record::ToHome(at, Asked::Attach { roster, present });
    link.hosts.send(home, &asked, &[]).map_err(|error| error.to_string())?;
    let from = timeout(ATTACHED_MAX, attached(link)).await.map_err(|_| format!("host {home} does not answer"))?;
    let Start { seq, present } = from.ok_or_else(|| format!("host {home} is not its home"))?;
    catch_up(room, link, seq).await?;
    settle_stored(room, link).await?;
    // Nothing changes it meanwhile: what the home says of others waits.
    let changes = room.members.changes_to(&present);
    let frames = presence::frames(room, link, &changes);
    let mut state = link.state();
    let early = match &mut state.role {
        Role::Attaching { attachment: current, early, .. } if *current == attachment => early.take(),
        _ => return Err(format!("host {home} has attached it to nothing")),
    };
    let _ = room.members.put_changes(&frames, &changes);
    let put: Result<Vec<bool>, _> = early.into_iter().map(|run| Link::put(room, &mut state, run)).collect();
    if put.is_err() {
        drop(state);
        room.publish_soon();
        return Err("what it said meanwhile has a gap".to_owned());
    }
    let whole = link.ask_again(room, &mut state, &known, (home, attachment));
    if whole {
        state.role = Role::Attached { home, attachment };
    }
    drop(state);
    room.publish_soon();
    // Else it is not attached: nothing that a client says now may come before what was not sent.
    if whole { Ok(()) } else { Err(format!("too much waits for host {home}")) }
}

/// Waits until the home has attached this host. None: it is not the home.
async fn attached(link: &Link) -> Option<Start> {
    loop {
        let changed = link.changed();
        tokio::pin!(changed);
        changed.as_mut().enable();
        match &link.state().role {
            Role::Attaching { from: Some(from), .. } => return Some(from.clone()),
            Role::Attaching { from: None, .. } => {}
            _ => return None,
        }
        changed.await;
    }
}

/// Sends the room's connections what is stored after the last message that they have.
async fn catch_up(room: &Arc<RoomQueue>, link: &Link, until: Seq) -> Result<(), String> {
    let Some(begun) = room.members.last() else {
        room.members.learn_last(until);
        return Ok(());
    };
    // What waits for the sockets of those who read slowly.
    let flow = Flow::new(room.pipeline.limits.outbox_bytes_max / 4);
    let mut have = begun;
    while have < until {
        let page = Page::After(have);
        let messages = room.pipeline.store.messages(room.id, page, CHUNK).await;
        let mut messages = messages.map_err(|error| error.to_string())?;
        messages.retain(|message| message.seq <= until);
        let (count, last) = (messages.len() as u64, messages.last().map_or(until, |message| message.seq));
        let release = link.hosts.release_for(room.id);
        let events = link.hosts.history.replay(release, messages).await.map_err(|error| error.to_string())?;
        let mut frames = BytesMut::new();
        events.iter().for_each(|event| frame::text(&mut frames, event));
        put(room, &flow, &frames, Some(last), count).await;
        have = last;
    }
    let max = room.pipeline.limits.resume_messages_max;
    let deleted = room.pipeline.store.deletions(room.id, begun, begun, max).await.map_err(|error| error.to_string())?;
    let mut frames = BytesMut::new();
    deleted.into_iter().for_each(|deleted| frame::text(&mut frames, &deletion::event(room.id, deleted)));
    if !frames.is_empty() {
        put(room, &flow, &frames, None, 0).await;
    }
    Ok(())
}

/// Puts frames into the room, and waits until most of them are sent.
async fn put(room: &Arc<RoomQueue>, flow: &Arc<Flow>, frames: &[u8], last: Option<Seq>, messages: u64) {
    if room.members.put_run(frames, last, messages, &[], [flow.begin(frames.len())], &[]) {
        room.publish_soon();
    }
    std::future::poll_fn(|context| flow.poll_until(context, || flow.is_low())).await;
}

/// Settles the frames that were stored while it was not known.
async fn settle_stored(room: &Arc<RoomQueue>, link: &Link) -> Result<(), String> {
    let said = |unsettled: &Unsettled| matches!(unsettled.what, What::Said { .. }).then_some(unsettled.after);
    let Some(after) = link.state().unsettled.iter().filter_map(said).min() else { return Ok(()) };
    let stored = room.pipeline.store.stored_origins(room.id, after, link.hosts.no).await;
    for (origin, seq) in stored.map_err(|error| error.to_string())? {
        let unsettled = link.state().take_stored(origin);
        if let Some(unsettled) = unsettled {
            drop(unsettled.stored(room, seq));
        }
    }
    Ok(())
}

/// Handles here what no home has handled, and then whatever comes.
async fn become_home(room: &Arc<RoomQueue>, link: &Link) {
    tracing::debug!(room = room.id.0, "this host is the home of room {}", room.id);
    loop {
        let next = {
            let mut state = link.state();
            let next = state.unsettled.pop_front();
            if next.is_none() {
                presence::begin_as_home(room, link, state);
            }
            next
        };
        let Some(unsettled) = next else { return };
        if unsettled.is_overtaken {
            unsettled.fail(SayError::Unknown);
            continue;
        }
        match unsettled.what {
            What::Said { user, sent, reply, in_flight } => {
                drop(in_flight);
                let release = link.hosts.release_for(room.id);
                say::say_here(room, release, &user, sent.as_frame(), reply).await;
            }
            What::Delete { seqs, answer } => {
                let room = Arc::clone(room);
                tokio::spawn(async move { drop(answer.send(room.delete_here(seqs).await)) });
            }
        }
    }
}
