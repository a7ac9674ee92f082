//! Who is in which room, and fan-out to them. Knows nothing of sockets, storage or WebAssembly: a member is the id of a
//! user, and a connection is an [`Outbox`].
//!
//! Everyone in a room receives its events in the same order. One publisher at a time writes to a room, for all who
//! publish meanwhile: while the sockets are busy events gather, and then leave in one buffer, with one write per
//! connection. In a large room a speaker receives their own message before the others. Other hosts with members of the
//! room receive the same buffer as a [`Run`].

mod announced;
pub use announced::Change;

mod room;
pub use room::{Progress, Room};

mod members;
pub use members::Presence;

mod outbox;
pub use outbox::{CloseReason, FrameSink, Outbox, OutboxState, Request};

mod pass;

mod remote;
pub use remote::{Remote, Run};

mod figures;
pub use figures::{RoomFigures, figures};

mod flow;
pub use flow::{Flow, InFlight};

#[cfg(test)]
mod tests;
