//! Which canary the hosts have, so that a room hears the same versions whichever host is its home. Each change of it has a
//! stamp, and the latest one counts: hosts that have missed some have the same once they have heard the last. Starts and
//! ends no canary itself.

use serde::{Deserialize, Serialize};

use ondol_host_handlers::CanaryTerms;

/// The canary, or that there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CanaryNews {
    /// How many changes there were, and the host that made the last one.
    stamp: (u64, i32),
    canary: Option<CanaryTerms>,
}

/// The canary as this host knows of it.
pub(super) struct Canaries {
    host: i32,
    latest: CanaryNews,
    /// The canary of this host when it was last looked at.
    seen: Option<CanaryTerms>,
    /// The change that this host could not follow.
    failed: Option<(u64, i32)>,
}

/// What this host has to do to have the canary of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Start(CanaryTerms),
    End,
}

impl Canaries {
    pub(super) fn new(host: i32) -> Self {
        Self { host, latest: CanaryNews::default(), seen: None, failed: None }
    }

    /// Looks at the canary of this host, beside this release. If it has changed, the others have to be told what is returned. One
    /// that a release has ended ends there by that release as well.
    pub(super) fn look(&mut self, release: u64, own: Option<&CanaryTerms>) -> Option<CanaryNews> {
        if own == self.seen.as_ref() {
            return None;
        }
        let ended_by_release = own.is_none() && self.seen.as_ref().is_some_and(|seen| seen.over != release);
        self.seen = own.cloned();
        if ended_by_release {
            return None;
        }
        self.latest = CanaryNews { stamp: (self.latest.stamp.0 + 1, self.host), canary: own.cloned() };
        Some(self.latest.clone())
    }

    /// Another host tells of its canary.
    pub(super) fn hear(&mut self, news: CanaryNews) {
        if news.stamp > self.latest.stamp {
            self.latest = news;
        }
    }

    /// What there is to tell a host that may have missed it. None: there never was a canary.
    pub(super) fn latest(&self) -> Option<&CanaryNews> {
        (self.latest.stamp.0 > 0).then_some(&self.latest)
    }

    /// What is due beside this release.
    pub(super) fn due(&self, release: u64) -> Option<Due> {
        let wanted = self.latest.canary.as_ref();
        if wanted == self.seen.as_ref() || self.failed == Some(self.latest.stamp) {
            return None;
        }
        match wanted {
            Some(canary) => (canary.over == release).then(|| Due::Start(canary.clone())),
            None => Some(Due::End),
        }
    }

    /// It is done.
    pub(super) fn done(&mut self, due: Due) {
        self.seen = match due {
            Due::Start(canary) => Some(canary),
            Due::End => None,
        };
    }

    /// It cannot be done.
    pub(super) fn fail(&mut self) {
        self.failed = Some(self.latest.stamp);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use ondol_host_handlers::SlownessOverride;

    fn canary(over: u64, events: &str) -> CanaryTerms {
        CanaryTerms {
            over,
            versions: ["r".into(), "m".into(), events.into()],
            percent: 10,
            actor: "ann".into(),
            reason: String::new(),
            forced: false,
            slowness: SlownessOverride::default(),
            since: 0,
        }
    }

    /// What is due, done at once.
    fn follow(canaries: &mut Canaries, release: u64) -> Option<Due> {
        let due = canaries.due(release)?;
        canaries.done(due.clone());
        Some(due)
    }

    #[test]
    fn a_canary_starts_and_ends_on_the_others_as_well() {
        let (mut one, mut other) = (Canaries::new(1), Canaries::new(2));
        assert_eq!(one.look(4, None), None);
        let started = one.look(4, Some(&canary(4, "e"))).unwrap();
        assert_eq!(one.due(4), None, "it is its own");
        other.hear(started.clone());
        assert_eq!(other.due(3), None, "not beside another release");
        assert_eq!(follow(&mut other, 4), Some(Due::Start(canary(4, "e"))));
        assert_eq!(other.look(4, Some(&canary(4, "e"))), None, "what it has followed is no news");
        // It fails there.
        let ended = other.look(4, None).unwrap();
        one.hear(started);
        one.hear(ended.clone());
        assert_eq!(follow(&mut one, 4), Some(Due::End));
        assert_eq!((one.look(4, None), one.due(4), other.due(4)), (None, None, None));
        // A host that comes later hears the last of it.
        let mut third = Canaries::new(3);
        assert_eq!(third.latest(), None);
        third.hear(one.latest().unwrap().clone());
        assert_eq!((third.due(4), third.latest()), (None, Some(&ended)));
    }

    #[test]
    fn a_release_ends_it_everywhere_without_a_word() {
        let (mut one, mut other) = (Canaries::new(1), Canaries::new(2));
        other.hear(one.look(4, Some(&canary(4, "e"))).unwrap());
        follow(&mut other, 4);
        assert_eq!((one.look(5, None), other.look(5, None)), (None, None));
        assert_eq!((one.due(5), other.due(5)), (None, None));
        // The next one, of which a host hears before it follows the release.
        let mut third = Canaries::new(3);
        third.hear(one.look(5, Some(&canary(5, "e"))).unwrap());
        assert_eq!((third.due(4), third.due(5)), (None, Some(Due::Start(canary(5, "e")))));
    }

    #[test]
    fn of_two_that_start_at_once_all_have_the_same() {
        let (mut one, mut other, mut third) = (Canaries::new(1), Canaries::new(2), Canaries::new(3));
        let first = one.look(4, Some(&canary(4, "a"))).unwrap();
        let second = other.look(4, Some(&canary(4, "b"))).unwrap();
        one.hear(second.clone());
        other.hear(first.clone());
        third.hear(second);
        third.hear(first);
        let replaced = Some(Due::Start(canary(4, "b")));
        assert_eq!(
            (follow(&mut one, 4), follow(&mut other, 4), follow(&mut third, 4)),
            (replaced.clone(), None, replaced)
        );
    }

    #[test]
    fn what_cannot_be_followed_is_tried_once() {
        let (mut one, mut other) = (Canaries::new(1), Canaries::new(2));
        other.hear(one.look(4, Some(&canary(4, "a"))).unwrap());
        assert!(other.due(4).is_some());
        other.fail();
        assert_eq!(other.due(4), None);
        other.hear(one.look(4, Some(&canary(4, "b"))).unwrap());
        assert!(other.due(4).is_some());
    }
}
