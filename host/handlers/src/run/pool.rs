//! Idle things by the processor that used each last, whose caches hold its memory. Knows nothing of what they are.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;
use crossbeam_utils::atomic::AtomicCell;

/// Idle things. Each stays in its box: it is taken and put back by its address.
pub(crate) struct Pool<T> {
    slots: Box<[CachePadded<Slot<T>>]>,
}

/// The idle things of one processor. A call costs a microsecond, and each lock would be a hundredth of it: so the last
/// one lies on top, to be taken and put back by one exchange each.
pub(crate) struct Slot<T> {
    top: AtomicCell<Option<Box<T>>>,
    /// The others, for callers that find nothing on top because other calls of this processor are in progress.
    below: Mutex<Vec<Box<T>>>,
    /// The most that this slot holds.
    max: usize,
}

impl<T> Pool<T> {
    /// Room for `max` things, shared evenly by the processors of this machine; by as many of them as there is room for.
    pub(crate) fn new(max: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::for_processors(processors, max)
    }

    fn for_processors(processors: usize, max: usize) -> Self {
        let slots = processors.min(max).max(1);
        let slot = || Slot { top: AtomicCell::new(None), below: Mutex::default(), max: max / slots };
        Self { slots: (0..slots).map(|_| CachePadded::new(slot())).collect() }
    }

    /// The slot of this processor. What is taken from it returns to it.
    #[allow(clippy::indexing_slicing, reason = "there is at least one slot, and a remainder is less than their number")]
    pub(crate) fn slot(&self) -> &Slot<T> {
        &self.slots[rustix::thread::sched_getcpu() % self.slots.len()]
    }
}

impl<T> Slot<T> {
    /// The thing that was put here last.
    pub(crate) fn take(&self) -> Option<Box<T>> {
        self.top.take().or_else(|| self.below().pop())
    }

    /// Puts something on top. What lay there goes below, or is dropped where there is no room.
    pub(crate) fn put(&self, thing: Box<T>) {
        if self.max == 0 {
            return;
        }
        let Some(before) = self.top.swap(Some(thing)) else { return };
        let mut below = self.below();
        if below.len() + 1 < self.max {
            below.push(before);
        }
    }

    fn below(&self) -> MutexGuard<'_, Vec<Box<T>>> {
        self.below.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers<const N: usize>(slot: &Slot<i32>) -> [Option<i32>; N] {
        [(); N].map(|()| slot.take().map(|number| *number))
    }

    #[test]
    fn a_pool_holds_no_more_than_its_maximum() {
        for (processors, max, each) in [(1, 64, 64), (2, 64, 32), (16, 64, 4), (128, 64, 1), (2, 1, 1), (3, 0, 0)] {
            let pool = Pool::for_processors(processors, max);
            assert!(pool.slots.iter().all(|slot| slot.max == each));
            assert!(pool.slots.len() * each <= max);
            for slot in &pool.slots {
                (0..200).for_each(|number| slot.put(Box::new(number)));
                let idle = std::iter::from_fn(|| slot.take()).count();
                assert_eq!(idle, each, "of {max} for {processors}");
            }
        }
    }

    #[test]
    fn the_last_one_in_is_the_first_one_out() {
        let pool = Pool::for_processors(1, 3);
        let slot = pool.slot();
        (1..=3).for_each(|number| slot.put(Box::new(number)));
        assert_eq!(numbers(slot), [Some(3), Some(2), Some(1), None]);
        (1..=4).for_each(|number| slot.put(Box::new(number)));
        let expected = [Some(4), Some(2), Some(1), None];
        assert_eq!(numbers(slot), expected, "there was no room for the third below the fourth");
    }
}
