//! A room whose members are on several hosts: what its home does for those of the others, and what the others leave to it.

use std::collections::HashSet;
use std::sync::Arc;

use super::{RoomQueue, RoomTask, SMALL_ROOM, Ticket, What};
use crate::chat::reply::Reply;
use ondol_host_handlers::Release;
use ondol_host_model::{Frame, Speaker};
use ondol_host_rooms::Presence;

impl RoomQueue {
    /// Whether this host is its home. The only host is.
    pub(in crate::chat) fn is_home(&self) -> bool {
        self.link.as_ref().is_none_or(|link| link.is_home())
    }

    /// Leaves a frame to the room's home. Returns the reply if this host is that.
    pub(in crate::chat) fn forward(&self, user: &Arc<Speaker>, frame: Frame<'_>, reply: Reply) -> Option<Reply> {
        match &self.link {
            None => Some(reply),
            Some(link) => link.forward(self, user, frame, reply),
        }
    }

    /// Reads what the room's home may have said without being heard here.
    pub(in crate::chat) fn catch_up(self: &Arc<Self>) {
        if let Some(link) = &self.link {
            link.open(self);
        }
    }

    /// A connection comes in at another host. The room hears of it when it is the user's first.
    pub(in crate::chat) fn join_remote(self: &Arc<Self>, user: &Arc<Speaker>, release: impl FnOnce() -> Arc<Release>) {
        let state = self.state();
        if self.members.join_remote(&user.id) == Presence::Changed {
            self.enqueue(state, RoomTask::new(What::Join(Arc::clone(user), release()), Ticket::silent()));
        }
    }

    /// It leaves. The room hears of it when it was the user's last.
    pub(in crate::chat) fn leave_remote(self: &Arc<Self>, user: &Arc<Speaker>, release: impl FnOnce() -> Arc<Release>) {
        let state = self.state();
        if self.members.leave_remote(&user.id) == Presence::Changed {
            self.enqueue(state, RoomTask::new(What::Leave(Arc::clone(user), release()), Ticket::silent()));
        }
    }

    /// This host begins to be the home: once [`RoomQueue::go_on`] is called, the room hears of those of `people`, who have
    /// connections here, that no earlier home has told of. Returns the others that one has told of. They count as present
    /// until [`RoomQueue::leave_remote`]. None: it is not known whom earlier homes have told of.
    pub(in crate::chat) fn begin_as_home(
        &self,
        people: &[Arc<Speaker>],
        release: &Arc<Release>,
    ) -> Option<Vec<Arc<Speaker>>> {
        let mut state = self.state();
        let announced = self.members.begin_as_home();
        let here: HashSet<&str> = people.iter().map(|user| user.id.as_str()).collect();
        let mut known: HashSet<_> = announced.iter().flatten().map(|user| user.id.clone()).collect();
        for user in people.iter().filter(|user| known.insert(user.id.clone())) {
            let join = What::Join(Arc::clone(user), Arc::clone(release));
            state.waiting.push_back(RoomTask::new(join, Ticket::silent()));
        }
        let mut absent = announced?;
        absent.retain(|user| !here.contains(user.id.as_str()));
        for user in &absent {
            self.members.join_remote(&user.id);
        }
        Some(absent)
    }

    /// Counts users as present whom the connections of another host take for that, and who are not known here. Returns them.
    pub(in crate::chat) fn adopt(&self, users: Vec<Arc<Speaker>>) -> Vec<Arc<Speaker>> {
        // In its turn: no one joins or leaves meanwhile.
        let _state = self.state();
        self.members.adopt(users)
    }

    /// Runs what waits in the queue, unless that is done already or it waits for a number.
    pub(in crate::chat) fn go_on(self: &Arc<Self>) {
        if std::mem::replace(&mut self.state().running, true) {
            return;
        }
        if let Some(task) = self.next() {
            self.run(task);
        }
    }

    /// Sends what was put into the room: from here in a small one, from a task of its own otherwise.
    pub(in crate::chat) fn publish_soon(self: &Arc<Self>) {
        if self.members.connections() <= SMALL_ROOM {
            return self.publish();
        }
        let room = Arc::clone(self);
        self.pipeline.spawn(async move { room.publish() });
    }
}

impl Drop for RoomQueue {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.close(self);
        }
    }
}
