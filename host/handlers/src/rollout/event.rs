//! What befalls a release without making another one, for the history.

/// What happened while a release was active.
#[derive(Clone, Debug)]
pub struct ReleaseEvent {
    /// The number of that release.
    pub release: u64,
    /// What happened.
    pub what: EventKind,
    /// Who did it.
    pub actor: String,
    /// Which versions it concerns, and why, in one line without anything that users sent.
    pub detail: String,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A version on probation is slow.
    Warning,
    /// A probation ended before its time.
    ProbationEnded,
    /// The block of a version was lifted.
    Forgiven,
    /// A canary began.
    CanaryStarted,
    /// A canary ended.
    CanaryEnded,
    /// A shadow began.
    ShadowStarted,
    /// A shadow ended.
    ShadowEnded,
}

impl EventKind {
    /// Its name in the history.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::ProbationEnded => "probation_ended",
            Self::Forgiven => "forgiven",
            Self::CanaryStarted => "canary_started",
            Self::CanaryEnded => "canary_ended",
            Self::ShadowStarted => "shadow_started",
            Self::ShadowEnded => "shadow_ended",
        }
    }
}
