//! A room whose members are on several hosts: what its home does for those of the others, and what the others leave to it.

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

    /// A connection comes in at another host. The room hears of it when it is the user's first, unless it has heard of it.
    pub(in crate::chat) fn join_remote(
        self: &Arc<Self>,
        user: &Arc<Speaker>,
        is_known: bool,
        release: impl FnOnce() -> Arc<Release>,
    ) {
        let state = self.state();
        if self.members.join_remote(&user.id) == Presence::Changed && !is_known {
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

    /// Tells the room of a user who came in before this host was its home.
    pub(in crate::chat) fn announce_join(self: &Arc<Self>, user: &Arc<Speaker>, release: Arc<Release>) {
        self.enqueue(self.state(), RoomTask::new(What::Join(Arc::clone(user), release), Ticket::silent()));
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
