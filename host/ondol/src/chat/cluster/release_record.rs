//! What hosts tell each other about releases and canaries.

use serde::{Deserialize, Serialize};

use super::canaries::CanaryNews;
use ondol_host_handlers::SlownessOverride;

/// What a host tells another about releases.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum ReleaseNews {
    /// It is about to make this release active: can the other one?
    Prepare(Proposal),
    /// The other one can, or there is a reason why not.
    Prepared { proposal: u64, reason: Option<String> },
    /// This release is active there, and recorded as that.
    Active { release: u64 },
    /// The canary, or that there is none.
    Canary(CanaryNews),
}

/// A release that a host is about to make active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::chat) struct Proposal {
    /// Its number among the proposals of that host.
    pub(in crate::chat) number: u64,
    /// Its versions, which are stored: rooms, messages, events.
    pub(in crate::chat) versions: [String; 3],
    /// How slow is too slow on its probation. None: it has none.
    pub(in crate::chat) probation: Option<SlownessOverride>,
}
