//! The client's own ids of messages in flight. A second frame with such an id stores nothing: it waits, and gets the first
//! one's outcome. What its client says next waits as well, until the first one has its place in the room's queue: so the order of
//! what a client says holds over its connections. Knows nothing of what the message says.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::reply::{Reply, SayError};
use ondol_host_rooms::InFlight;

/// A sender, and their own id for a message.
type Id = (String, String);

/// The ids of one room.
#[derive(Default)]
pub(super) struct Claims(Mutex<HashMap<Id, First>>);

/// The first frame with an id.
struct First {
    waiting: Vec<Waiter>,
    placed: watch::Receiver<()>,
}

/// Held until a message has its place in the room's queue, or has failed.
pub(super) struct Placing {
    _sender: watch::Sender<()>,
}

/// Waits until the first frame with an id has its place, or has failed.
pub(super) struct Placed(watch::Receiver<()>);

impl Placed {
    pub(super) async fn wait(mut self) {
        // An error: it has.
        let _ = self.0.changed().await;
    }
}

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
    ) -> Result<(Claim, Waiter, Placing), Placed> {
        let id = (sender.to_owned(), client_id.to_owned());
        match self.lock().entry(id.clone()) {
            Entry::Occupied(mut first) => Err(first.get_mut().outcome_for(waiter)),
            Entry::Vacant(place) => {
                let (sender, placed) = watch::channel(());
                place.insert(First { waiting: Vec::new(), placed });
                Ok((Claim { claims: Arc::clone(self), id: Some(id) }, waiter, Placing { _sender: sender }))
            }
        }
    }

    /// Waits for a message in flight. The waiter comes back when no message with that id is in flight.
    pub(super) fn wait(&self, sender: &str, client_id: &str, waiter: Waiter) -> Result<Waiter, Placed> {
        match self.lock().get_mut(&(sender.to_owned(), client_id.to_owned())) {
            Some(first) => Err(first.outcome_for(waiter)),
            None => Ok(waiter),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, First>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl First {
    fn outcome_for(&mut self, waiter: Waiter) -> Placed {
        self.waiting.push(waiter);
        Placed(self.placed.clone())
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
        self.claims.lock().remove(&id).map(|first| first.waiting).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use tokio::sync::oneshot;

    use super::*;
    use crate::config::HistoryForm;
    use ondol_host_model::RequestId;
    use ondol_host_rooms::Flow;

    fn waiter() -> Waiter {
        let reply = Reply::waiting(oneshot::channel().0, HistoryForm::Host, RequestId::of_request(None));
        Waiter { reply, in_flight: Flow::new(1_000).begin(1) }
    }

    async fn is_over(waiting: &mut std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn what_follows_a_second_frame_waits_until_the_first_has_its_place() {
        let claims = Arc::new(Claims::default());
        let (claim, _first, placing) = claims.claim("ann", "a", waiter()).ok().unwrap();
        let mut second = pin!(claims.claim("ann", "a", waiter()).err().unwrap().wait());
        let mut refused = pin!(claims.wait("ann", "a", waiter()).err().unwrap().wait());
        assert!(!is_over(&mut second).await && !is_over(&mut refused).await);
        drop(placing);
        assert!(is_over(&mut second).await && is_over(&mut refused).await);
        let mut third = pin!(claims.claim("ann", "a", waiter()).err().unwrap().wait());
        assert!(is_over(&mut third).await, "it has its place, and is in flight");
        assert_eq!(claim.end().len(), 3);
        assert!(claims.claim("ann", "a", waiter()).is_ok(), "the id is free");
    }
}
