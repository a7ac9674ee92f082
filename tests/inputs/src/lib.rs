//! Inputs for property tests: those that are kept in `tests/corpus`, and strategies for generated ones. Knows what clients and
//! operators write, and nothing of what becomes of it.
//!
//! A run is the same each time: the seed is fixed unless `PROPTEST_RNG_SEED` is set, and the number of cases is 256 unless
//! `PROPTEST_CASES` is. `make fuzz` sets both.

pub mod corpus;
mod json;
mod text;

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use json::{body, frame, value};
pub use proptest;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseResult, TestRunner};
pub use text::{misspelt, text};

/// The seed of a run that is given none.
const SEED: u64 = 6455;

/// Checks a property for the kept inputs, then for generated ones.
///
/// # Panics
///
/// When it does not hold: with the smallest input that shows it, for `tests/corpus`, and the seed.
#[track_caller]
pub fn holds<S: Strategy>(
    kept: impl IntoIterator<Item = S::Value>,
    generated: S,
    property: impl Fn(S::Value) -> TestCaseResult,
) where
    S::Value: Clone + Debug,
{
    check(1, kept, generated, property);
}

/// The same for a property that asks a running server: an eighth of the cases, and less time to look for a smaller input.
///
/// # Panics
///
/// As [`holds`].
#[track_caller]
pub fn holds_for_a_server<S: Strategy>(
    kept: impl IntoIterator<Item = S::Value>,
    generated: S,
    property: impl Fn(S::Value) -> TestCaseResult,
) where
    S::Value: Clone + Debug,
{
    check(8, kept, generated, property);
}

#[track_caller]
#[allow(clippy::panic, reason = "this is how a test fails")]
fn check<S: Strategy>(
    part: u32,
    kept: impl IntoIterator<Item = S::Value>,
    generated: S,
    property: impl Fn(S::Value) -> TestCaseResult,
) where
    S::Value: Clone + Debug,
{
    for input in kept {
        let outcome = catch_unwind(AssertUnwindSafe(|| property(input.clone())));
        match outcome {
            Ok(Ok(()) | Err(TestCaseError::Reject(_))) => {}
            Ok(Err(TestCaseError::Fail(why))) => panic!("the kept input {input:?}: {why}"),
            Err(_) => panic!("the kept input {input:?}"),
        }
    }
    let given = Config::default();
    let seed = match given.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => SEED,
    };
    let config = Config {
        cases: (given.cases / part).max(1),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 10_000 / part,
        ..given
    };
    if let Err(error) = TestRunner::new(config).run(&generated, property) {
        panic!("with PROPTEST_RNG_SEED={seed}: {error}");
    }
}

/// Bytes, and where to cut them: at each place that is less than their length.
pub fn cut(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    bytes.prop_flat_map(|bytes| {
        let length = bytes.len().max(1);
        (Just(bytes), prop::collection::vec(0..length, 0..8))
    })
}

/// The pieces of bytes that are cut at these places, in any order and as often as they are named.
#[must_use]
pub fn pieces<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places = places.to_vec();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut begin = 0;
    for place in places.into_iter().chain([bytes.len()]) {
        pieces.extend(bytes.get(begin..place));
        begin = place;
    }
    pieces
}
