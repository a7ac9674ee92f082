//! What rests between two uses, by the processor that it was last used on: its memory is in that one's caches. Knows
//! nothing of what it is.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Things at rest.
pub(super) struct Pool<T> {
    /// A stack for each processor: what rested last is the warmest.
    stacks: Box<[Mutex<Vec<T>>]>,
    /// The most that rest in one of them.
    each_max: usize,
}

impl<T> Pool<T> {
    /// Room for `max` at rest, shared evenly by the processors of this machine; by as many of them as there is room for.
    pub(super) fn new(max: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::for_processors(processors, max)
    }

    fn for_processors(processors: usize, max: usize) -> Self {
        let stacks = processors.min(max).max(1);
        Self { stacks: (0..stacks).map(|_| Mutex::default()).collect(), each_max: max / stacks }
    }

    /// The place of this processor, where what is taken from it goes back to.
    pub(super) fn place(&self) -> Place<'_, T> {
        let number = rustix::thread::sched_getcpu() % self.stacks.len();
        Place { stack: self.stacks.get(number), each_max: self.each_max }
    }
}

/// Where things rest that one processor uses.
pub(super) struct Place<'a, T> {
    stack: Option<&'a Mutex<Vec<T>>>,
    each_max: usize,
}

impl<T> Place<'_, T> {
    /// What rested last.
    pub(super) fn take(&self) -> Option<T> {
        self.stack()?.pop()
    }

    /// Lays something to rest, or drops it where there is no room.
    pub(super) fn put(&self, thing: T) {
        let Some(mut stack) = self.stack() else { return };
        if stack.len() < self.each_max {
            stack.push(thing);
        }
    }

    fn stack(&self) -> Option<MutexGuard<'_, Vec<T>>> {
        Some(self.stack?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_rest_than_there_is_room_for() {
        for (processors, max, each) in [(1, 64, 64), (2, 64, 32), (16, 64, 4), (128, 64, 1), (2, 1, 1), (3, 0, 0)] {
            let pool = Pool::for_processors(processors, max);
            assert_eq!(pool.each_max, each);
            assert!(pool.stacks.len() * each <= max);
            (0..200).for_each(|number| pool.place().put(number));
            let resting: usize = pool.stacks.iter().map(|stack| stack.lock().unwrap().len()).sum();
            assert!(resting <= max && (resting >= each), "{resting} of {max}");
        }
    }

    #[test]
    fn what_rested_last_comes_first() {
        let pool = Pool::for_processors(1, 3);
        (1..=4).for_each(|number| pool.place().put(number));
        assert_eq!([(); 4].map(|()| pool.place().take()), [Some(3), Some(2), Some(1), None]);
    }
}
