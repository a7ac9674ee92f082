//! What rests between two uses, by the processor that it was last used on: its memory is in that one's caches. Knows
//! nothing of what it is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;
use crossbeam_utils::atomic::AtomicCell;

/// Things at rest. Each is in a box, for good: it is taken and put back by its address.
pub(super) struct Pool<T> {
    places: Box<[CachePadded<Place<T>>]>,
}

/// Where things rest that one processor uses. A call costs a microsecond, and each lock would be a hundredth of it: so
/// whatever rested last lies on top, to be taken and put back by one exchange each.
pub(super) struct Place<T> {
    top: AtomicCell<Option<Box<T>>>,
    /// What rested before: whoever finds nothing on top, since others of this processor are in the midst of a call, looks
    /// here.
    below: Mutex<Vec<Box<T>>>,
    /// The most that rest here.
    max: usize,
}

impl<T> Pool<T> {
    /// Room for `max` at rest, shared evenly by the processors of this machine; by as many of them as there is room for.
    pub(super) fn new(max: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::for_processors(processors, max)
    }

    fn for_processors(processors: usize, max: usize) -> Self {
        let places = processors.min(max).max(1);
        let place = || Place { top: AtomicCell::new(None), below: Mutex::default(), max: max / places };
        Self { places: (0..places).map(|_| CachePadded::new(place())).collect() }
    }

    /// The place of this processor, where what is taken from it goes back to.
    #[allow(
        clippy::indexing_slicing,
        reason = "there is at least one place, and a remainder is less than their number"
    )]
    pub(super) fn place(&self) -> &Place<T> {
        &self.places[rustix::thread::sched_getcpu() % self.places.len()]
    }
}

impl<T> Place<T> {
    /// What rested last.
    pub(super) fn take(&self) -> Option<Box<T>> {
        self.top.take().or_else(|| self.below().pop())
    }

    /// Lays something to rest on top. What lay there goes below, or is dropped where there is no room.
    pub(super) fn put(&self, thing: Box<T>) {
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

    fn numbers<const N: usize>(place: &Place<i32>) -> [Option<i32>; N] {
        [(); N].map(|()| place.take().map(|number| *number))
    }

    #[test]
    fn no_more_rest_than_there_is_room_for() {
        for (processors, max, each) in [(1, 64, 64), (2, 64, 32), (16, 64, 4), (128, 64, 1), (2, 1, 1), (3, 0, 0)] {
            let pool = Pool::for_processors(processors, max);
            assert!(pool.places.iter().all(|place| place.max == each));
            assert!(pool.places.len() * each <= max);
            for place in &pool.places {
                (0..200).for_each(|number| place.put(Box::new(number)));
                let resting = std::iter::from_fn(|| place.take()).count();
                assert_eq!(resting, each, "of {max} for {processors}");
            }
        }
    }

    #[test]
    fn what_rested_last_comes_first() {
        let pool = Pool::for_processors(1, 3);
        let place = pool.place();
        (1..=3).for_each(|number| place.put(Box::new(number)));
        assert_eq!(numbers(place), [Some(3), Some(2), Some(1), None]);
        (1..=4).for_each(|number| place.put(Box::new(number)));
        assert_eq!(
            numbers(place),
            [Some(4), Some(2), Some(1), None],
            "there was no room for the third below the fourth"
        );
    }
}
