//! Whether the last call of this thread was made in an instance that has warmed up. The first calls of an instance
//! take many times as long as the later ones, above all those of interpreters, so they say little about a version.

use std::cell::Cell;

/// The calls of an instance that belong to its warm-up.
pub(crate) const WARM_UP_CALLS: usize = 16;

thread_local! {
    static WARM: Cell<bool> = const { Cell::new(false) };
}

/// Notes that a call is made in an instance that has answered so many calls, of those that it may answer.
pub(crate) fn note(calls: usize, calls_max: usize) {
    // An instance that answers few calls would never be warm.
    WARM.set(calls >= WARM_UP_CALLS.min(calls_max / 2));
}

/// Whether the last call of this thread was made in a warm instance.
pub(crate) fn was_warm() -> bool {
    WARM.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_warm_after_its_first_calls() {
        for (calls, calls_max, warm) in [(0, 10_000, false), (15, 10_000, false), (16, 10_000, true), (0, 1, true)] {
            note(calls, calls_max);
            assert_eq!(was_warm(), warm, "{calls} of {calls_max}");
        }
    }
}
