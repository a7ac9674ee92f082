//! What deploys on probation changed, as ids: which of them a handler's active version came by, and what a rollback of
//! one takes back. Knows nothing of probations.
//!
//! One deploy is one whole: its handlers are taken back together, and so is what was deployed onto one of them since.
//! Other handlers stay.

use crate::run::kind::{Each, HandlerKind, VersionId};

/// What a deploy changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) before: Each<VersionId>,
    pub(crate) after: Each<VersionId>,
}

impl Change {
    /// Whether it changed this handler.
    pub(crate) fn is_about(&self, handler: HandlerKind) -> bool {
        self.before.of(handler) != self.after.of(handler)
    }

    fn handlers(&self) -> impl Iterator<Item = HandlerKind> {
        HandlerKind::ALL.into_iter().filter(|handler| self.is_about(*handler))
    }
}

/// The changes that the active version of a handler came by, the latest first, as indices of `changes`. Those that were
/// undone since, or overtaken by a change without a probation, are not among them.
pub(crate) fn chain(changes: &[Change], active: &Each<VersionId>, handler: HandlerKind) -> Vec<usize> {
    let mut version = active.of(handler);
    let mut found = Vec::new();
    for (index, change) in changes.iter().enumerate().rev() {
        if change.is_about(handler) && change.after.of(handler) == version {
            found.push(index);
            version = change.before.of(handler);
        }
    }
    found
}

/// Whether each change still matters: one of its versions is active, or would be once a later change was taken back.
pub(crate) fn needed(changes: &[Change], active: &Each<VersionId>) -> Vec<bool> {
    let mut needed = vec![false; changes.len()];
    for handler in HandlerKind::ALL {
        for index in chain(changes, active, handler) {
            if let Some(needed) = needed.get_mut(index) {
                *needed = true;
            }
        }
    }
    needed
}

/// What taking back the change `failed` means for each handler: the index of the change whose version before it becomes
/// active. None: the handler stays.
pub(crate) fn taken_back(changes: &[Change], active: &Each<VersionId>, failed: usize) -> Each<Option<usize>> {
    // For each handler that is taken back: by which change first, and what the last one made of it.
    let mut back: [Option<(usize, VersionId)>; 3] = [None; 3];
    for (index, change) in changes.iter().enumerate().skip(failed) {
        let onto_taken = HandlerKind::ALL.into_iter().zip(&back).any(|(handler, back)| {
            change.is_about(handler) && back.is_some_and(|(_, version)| version == *change.before.of(handler))
        });
        if index != failed && !onto_taken {
            continue;
        }
        for handler in change.handlers() {
            for (_, back) in HandlerKind::ALL.into_iter().zip(&mut back).filter(|(other, _)| *other == handler) {
                let first = back.map_or(index, |(first, _)| first);
                *back = Some((first, *change.after.of(handler)));
            }
        }
    }
    let mut indices = HandlerKind::ALL
        .into_iter()
        .zip(back)
        .map(|(handler, back)| back.filter(|(_, version)| *version == *active.of(handler)).map(|(first, _)| first));
    Each([(); 3].map(|()| indices.next().flatten()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::kind::SettingsMap;

    /// Versions of rooms, messages and events, a letter each.
    fn versions(letters: &str) -> Each<VersionId> {
        let mut letters = letters.bytes().map(|letter| VersionId::of(&[letter], &SettingsMap::new()));
        Each([(); 3].map(|()| letters.next().unwrap_or(VersionId::NONE)))
    }

    fn changes(of: &[(&str, &str)]) -> Vec<Change> {
        of.iter().map(|(before, after)| Change { before: versions(before), after: versions(after) }).collect()
    }

    #[test]
    fn only_what_failed_and_was_deployed_with_it_is_taken_back() {
        let of = changes(&[("abc", "aBC"), ("aBC", "aXC")]);
        let active = versions("aXC");
        assert_eq!(taken_back(&of, &active, 1), Each([None, Some(1), None]));
        assert_eq!(taken_back(&of, &active, 0), Each([None, Some(0), Some(0)]));
    }

    #[test]
    fn what_was_deployed_onto_it_is_taken_back_with_its_own_companions() {
        let of = changes(&[("abc", "aBc"), ("aBc", "RBc"), ("RBc", "SXc"), ("SXc", "SXE")]);
        let active = versions("SXE");
        // Rooms return to their version before they changed together with messages; events are not concerned.
        assert_eq!(taken_back(&of, &active, 0), Each([Some(2), Some(0), None]));
        assert_eq!(taken_back(&of, &active, 3), Each([None, None, Some(3)]));
    }

    #[test]
    fn a_version_without_a_probation_stays() {
        let of = changes(&[("abc", "aBC"), ("aFC", "RGC")]);
        assert_eq!(taken_back(&of, &versions("aFC"), 0), Each([None, None, Some(0)]));
        assert_eq!(taken_back(&of, &versions("RGC"), 0), Each([None, None, Some(0)]));
    }

    #[test]
    fn a_chain_is_the_changes_that_led_to_the_active_version() {
        let of = changes(&[("abc", "aBC"), ("aBC", "aXC"), ("aXC", "RXC")]);
        let active = versions("RXC");
        let chains = HandlerKind::ALL.map(|handler| chain(&of, &active, handler));
        assert_eq!(chains, [vec![2], vec![1, 0], vec![0]]);
        // Back at the version of the first change, which goes on.
        assert_eq!(chain(&of, &versions("RBC"), HandlerKind::Messages), [0]);
    }

    #[test]
    fn a_change_whose_versions_are_gone_is_not_needed() {
        let of = changes(&[("abc", "aBC"), ("aBC", "aXC")]);
        assert_eq!(needed(&of, &versions("aXC")), [true, true]);
        assert_eq!(needed(&of, &versions("aBC")), [true, false]);
        assert_eq!(needed(&of, &versions("afC")), [true, false]);
        assert_eq!(needed(&of, &versions("abc")), [false, false]);
    }
}
