//! The probations of one release: one for each deploy that brought some of its versions and whose time is not over.
//! Knows nothing of what they find.

use std::sync::Arc;

use super::change::{self, Change};
use super::probation::Probation;
use crate::run::kind::{Each, HandlerKind, VersionId};

/// The most at a time. Each keeps the versions of its baseline in memory, and a thread.
const PROBATIONS_MAX: usize = 16;

/// Probations in the order of their deploys.
#[derive(Clone, Default)]
pub(crate) struct Probations(Vec<Arc<Probation>>);

impl Probations {
    /// The only one.
    pub(crate) fn one(probation: Arc<Probation>) -> Self {
        Self(vec![probation])
    }

    /// Whether this is one of them.
    pub(crate) fn contains(&self, probation: &Arc<Probation>) -> bool {
        self.0.iter().any(|own| Arc::ptr_eq(own, probation))
    }

    /// All, the latest first.
    pub(crate) fn latest_first(&self) -> impl Iterator<Item = &Arc<Probation>> {
        self.0.iter().rev()
    }

    /// Those that go on once `active` versions are active and `new` has begun.
    pub(crate) fn after(&self, new: Option<Arc<Probation>>, active: [VersionId; 3]) -> Self {
        let all = Self(self.0.iter().cloned().chain(new).collect());
        let needed = change::needed(&all.changes(), &Each(active));
        let kept = all.0.into_iter().zip(needed).filter(|(_, needed)| *needed).map(|(probation, _)| probation);
        let mut kept: Vec<_> = kept.collect();
        kept.drain(..kept.len().saturating_sub(PROBATIONS_MAX));
        Self(kept)
    }

    /// The releases of those that others do not contain.
    pub(crate) fn missing_in(&self, others: &Self) -> Vec<u64> {
        self.0.iter().filter(|own| !others.contains(own)).filter_map(|own| own.release()).collect()
    }

    /// The others.
    pub(crate) fn without(&self, probation: &Arc<Probation>) -> Self {
        Self(self.0.iter().filter(|own| !Arc::ptr_eq(own, probation)).cloned().collect())
    }

    /// Those that a handler's active version came by, the latest first.
    pub(crate) fn of(&self, handler: HandlerKind, active: [VersionId; 3]) -> Box<[Arc<Probation>]> {
        let chain = change::chain(&self.changes(), &Each(active), handler);
        chain.into_iter().filter_map(|index| self.0.get(index).cloned()).collect()
    }

    /// The handlers that are taken back when one of them has failed, each with the probation whose baseline it returns
    /// to.
    pub(crate) fn taken_back(
        &self,
        failed: &Arc<Probation>,
        active: [VersionId; 3],
    ) -> Vec<(HandlerKind, Arc<Probation>)> {
        let Some(failed) = self.0.iter().position(|own| Arc::ptr_eq(own, failed)) else { return Vec::new() };
        let back = change::taken_back(&self.changes(), &Each(active), failed);
        let of = |handler: HandlerKind| Some((handler, Arc::clone(self.0.get((*back.of(handler))?)?)));
        HandlerKind::ALL.into_iter().filter_map(of).collect()
    }

    fn changes(&self) -> Vec<Change> {
        self.0.iter().map(|probation| *probation.change()).collect()
    }
}
