//! The client's own ids of messages in flight. A second frame with such an id stores nothing: it waits, and gets the first
//! one's outcome. Knows nothing of what the message says.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::reply::{Reply, SayError};
use ondol_host_rooms::InFlight;

/// A sender, and their own id for a message.
type Id = (String, String);

/// The ids of one room.
#[derive(Default)]
pub(super) struct Claims(Mutex<HashMap<Id, Vec<Waiter>>>);

/// A sender's second frame with the same message.
pub(super) struct Waiter {
    pub(super) reply: Reply,
    /// The waiter's frame is in flight until it is answered, like the first one.
    pub(super) in_flight: InFlight,
}

/// An id that belongs to one message until that is stored or has failed. Dropped, it tells the waiters that the message was
/// not stored.
pub(super) struct Claim {
    claims: Arc<Claims>,
    id: Option<Id>,
}

impl Claims {
    /// Claims an id. An error: a message with it is in flight, and `waiter` gets its outcome.
    pub(super) fn claim(
        self: &Arc<Self>,
        sender: &str,
        client_id: &str,
        waiter: Waiter,
    ) -> Result<(Claim, Waiter), ()> {
        let id = (sender.to_owned(), client_id.to_owned());
        match self.lock().entry(id.clone()) {
            Entry::Occupied(mut first) => {
                first.get_mut().push(waiter);
                Err(())
            }
            Entry::Vacant(place) => {
                place.insert(Vec::new());
                Ok((Claim { claims: Arc::clone(self), id: Some(id) }, waiter))
            }
        }
    }

    /// Waits for a message in flight. The waiter comes back when no message with that id is in flight.
    pub(super) fn wait(&self, sender: &str, client_id: &str, waiter: Waiter) -> Option<Waiter> {
        match self.lock().get_mut(&(sender.to_owned(), client_id.to_owned())) {
            Some(waiting) => {
                waiting.push(waiter);
                None
            }
            None => Some(waiter),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, Vec<Waiter>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Frees the id, and gives the waiters.
    pub(super) fn end(mut self) -> Vec<Waiter> {
        self.take()
    }

    /// The message has failed, for everyone who sent it. The id is free before the first of them hears of it and tries again.
    pub(super) fn fail(mut self, error: &SayError, tell_first: impl FnOnce()) {
        let client_id = self.id.as_ref().map(|(_, client_id)| client_id.clone());
        let waiting = self.take();
        tell_first();
        tell(waiting, error, client_id.as_deref());
    }

    fn take(&mut self) -> Vec<Waiter> {
        let Some(id) = self.id.take() else { return Vec::new() };
        self.claims.lock().remove(&id).unwrap_or_default()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let client_id = self.id.as_ref().map(|(_, client_id)| client_id.clone());
        tell(self.take(), &SayError::NotStored, client_id.as_deref());
    }
}

/// Answers every waiter with an error.
fn tell(waiting: Vec<Waiter>, error: &SayError, client_id: Option<&str>) {
    for Waiter { reply, in_flight } in waiting {
        reply.failed(error.clone(), client_id);
        drop(in_flight);
    }
}
