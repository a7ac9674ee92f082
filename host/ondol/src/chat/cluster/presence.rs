//! Who is present in a room that changes hands. Each host keeps the users that its connections take for present. A host that
//! is attached tells its connections what the home knows better. One that becomes the home takes over what it kept, and gives
//! users that have no connection any more some time to come back before the room hears that they left.

use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::time::sleep;

use super::Hosts;
use super::link::Link;
use super::record::Person;
use super::state::{Role, State};
use crate::chat::room_queue::RoomQueue;
use ondol_host_model::{Speaker, frame};
use ondol_host_rooms::Change;

/// How long users of a host that is gone may take to come back.
pub(super) fn grace(room: &RoomQueue) -> Duration {
    Duration::from_millis(room.pipeline.limits.presence_grace_ms)
}

/// What tells this host's connections of changes that no frame of the home tells of. Nothing if there are none: those that come
/// later know it.
pub(super) fn frames(room: &RoomQueue, link: &Link, changes: &[Change]) -> BytesMut {
    let mut frames = BytesMut::new();
    if room.members.connections() == 0 {
        return frames;
    }
    let release = link.hosts.release_for(room.id);
    for Change { user, is_present } in changes {
        let event = if *is_present { release.join(room.id, user) } else { release.leave(room.id, user) };
        event.into_iter().for_each(|event| frame::text(&mut frames, &event));
    }
    frames
}

/// Makes this host the home, with the users that the room takes for present.
pub(super) fn begin_as_home(room: &Arc<RoomQueue>, link: &Link, mut state: MutexGuard<'_, State>) {
    let people: Vec<_> = std::mem::take(&mut state.people).into_values().collect();
    let absent = room.begin_as_home(&people, &link.hosts.release_for(room.id));
    state.role = Role::Home;
    // No connection was here while another host was the home: others may know more.
    state.adopts_until = absent.is_none().then(|| Instant::now() + grace(room));
    drop(state);
    room.go_on();
    expect(room, &link.hosts, absent.unwrap_or_default());
}

/// Another host attaches itself to this one, which may not know yet whom the room takes for present.
pub(super) fn adopt(room: &Arc<RoomQueue>, hosts: &Arc<Hosts>, present: Vec<Person>) {
    let Some(link) = room.link.as_ref().filter(|_| !present.is_empty()) else { return };
    if link.state().adopts_until.take().is_some_and(|until| Instant::now() < until) {
        expect(room, hosts, room.adopt(present.into_iter().map(Arc::from).collect()));
    }
}

/// The room hears that these users left, unless they come back in time.
fn expect(room: &Arc<RoomQueue>, hosts: &Arc<Hosts>, absent: Vec<Arc<Speaker>>) {
    if absent.is_empty() {
        return;
    }
    let (room, hosts) = (Arc::clone(room), Arc::clone(hosts));
    tokio::spawn(async move {
        sleep(grace(&room)).await;
        for user in &absent {
            room.leave_remote(user, || hosts.release_for(room.id));
        }
    });
}
