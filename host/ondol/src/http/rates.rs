//! The rate limits: token buckets of connections, users and addresses. Knows nothing of what is asked for.

mod address;
mod bucket;
mod buckets;
mod refusals;

use std::sync::Arc;

use super::identity::IdentityError;
use crate::config::Limits;
pub(super) use address::Address;
pub(super) use bucket::{Bucket, Rate, TooFast};
use buckets::Buckets;
use ondol_host_model::User;
pub(super) use refusals::Refusals;

/// Whose rooms are counted together.
#[derive(PartialEq, Eq, Hash)]
enum Creator {
    User(String),
    Address(Address),
}

/// All rates of a listener.
pub(super) struct Rates {
    /// Each connection has buckets of its own for these two. None: it is off.
    pub(super) frames: Option<Arc<Rate>>,
    pub(super) bytes: Option<Arc<Rate>>,
    messages: Buckets<String>,
    rooms: Buckets<Creator>,
    connections: Buckets<Address>,
    requests: Buckets<Address>,
    rejections: Buckets<Address>,
    refusals: Arc<Refusals>,
}

/// A rate by the name of its limit, which goes before `_per_min` and `_burst`.
macro_rules! rate {
    ($limits:ident, $refusals:ident, $per_min:ident, $burst:ident) => {
        Rate::new(stringify!($per_min), $limits.$per_min, $limits.$burst, &$refusals)
    };
}

impl Rates {
    /// Whether two configurations have the same rates.
    pub(super) fn are_equal(one: &Limits, other: &Limits) -> bool {
        let is_of_rate = |name: &str| name.ends_with("_per_min") || name.ends_with("_burst") || name == "rate_keys_max";
        let mut names = Limits::TABLE.iter().map(|limit| limit.name).filter(|name| is_of_rate(name));
        names.all(|name| one.get(name) == other.get(name))
    }

    pub(super) fn new(limits: &Limits) -> Self {
        Self::counting(limits, Arc::default())
    }

    /// These after a reload, with full buckets. Refusals are counted on.
    pub(super) fn renewed(&self, limits: &Limits) -> Self {
        Self::counting(limits, Arc::clone(&self.refusals))
    }

    fn counting(limits: &Limits, refusals: Arc<Refusals>) -> Self {
        let keys_max = limits.rate_keys_max;
        let messages = rate!(limits, refusals, messages_per_user_per_min, messages_per_user_burst);
        let rooms = rate!(limits, refusals, rooms_per_user_per_min, rooms_per_user_burst);
        let connections = rate!(limits, refusals, connections_per_address_per_min, connections_per_address_burst);
        let requests = rate!(limits, refusals, requests_per_address_per_min, requests_per_address_burst);
        let rejections = rate!(limits, refusals, rejections_per_address_per_min, rejections_per_address_burst);
        Self {
            frames: rate!(limits, refusals, frames_per_connection_per_min, frames_per_connection_burst),
            bytes: rate!(limits, refusals, bytes_per_connection_per_min, bytes_per_connection_burst),
            messages: Buckets::new(messages, keys_max),
            rooms: Buckets::new(rooms, keys_max),
            connections: Buckets::new(connections, keys_max),
            requests: Buckets::new(requests, keys_max),
            rejections: Buckets::new(rejections, keys_max),
            refusals,
        }
    }

    /// How often something came too fast since startup, by the name of each rate that is or was on.
    pub(super) fn refused(&self) -> Vec<(&'static str, u64)> {
        self.refusals.read()
    }

    /// The bucket of a user's messages, for a connection to hold. None: the rate is off.
    pub(super) fn messages_of(&self, user: &User) -> Option<Arc<Bucket>> {
        self.messages.of(user.id.clone())
    }

    /// A message of a user, or a WebSocket: that brings events to its room as well.
    ///
    /// # Errors
    ///
    /// As each of these: when it comes too fast.
    pub(super) fn message(&self, user: &User) -> Result<(), TooFast> {
        self.messages.take(user.id.clone())
    }

    /// A request for a room.
    pub(super) fn room(&self, creator: Option<&User>, address: Option<Address>) -> Result<(), TooFast> {
        let creator = creator.map(|user| Creator::User(user.id.clone())).or(address.map(Creator::Address));
        creator.map_or(Ok(()), |creator| self.rooms.take(creator))
    }

    /// A WebSocket that is opened.
    pub(super) fn connection(&self, address: Option<Address>) -> Result<(), TooFast> {
        address.map_or(Ok(()), |address| self.connections.take(address))
    }

    /// Any other request.
    pub(super) fn request(&self, address: Option<Address>) -> Result<(), TooFast> {
        address.map_or(Ok(()), |address| self.requests.take(address))
    }

    /// Establishes an identity. Only those that are rejected are counted; after too many of them none is looked at, so that a
    /// flood does not cost a signature each.
    ///
    /// # Errors
    ///
    /// Those of `establish`, and [`IdentityError::TooFast`].
    pub(super) fn establish<T>(
        &self,
        address: Option<Address>,
        establish: impl FnOnce() -> Result<T, IdentityError>,
    ) -> Result<T, IdentityError> {
        let Some(address) = address else { return establish() };
        self.rejections.check(&address)?;
        let established = establish();
        if established.as_ref().is_err_and(IdentityError::is_rejection) {
            self.rejections.take(address)?;
        }
        established
    }
}
