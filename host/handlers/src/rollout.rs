//! Rolling releases out: how one is recorded, and what is tried before it counts for all: probation, a canary in some
//! rooms, a shadow beside the active release, a replay of what is stored. Knows nothing of how a message finds its
//! release.

pub(crate) mod canary;
pub(crate) mod change;
pub(crate) mod event;
pub(crate) mod ledger;
pub(crate) mod probation;
pub(crate) mod probations;
pub(crate) mod replay;
pub(crate) mod rows;
pub(crate) mod shadow;
pub(crate) mod slowness;
pub(crate) mod terms;
