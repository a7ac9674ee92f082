//! The name of one thing that was asked, so that who asked and who reads the log can speak of the same. Knows nothing of
//! what was asked, nor how.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::UNIX_EPOCH;

/// The longest name that is taken from outside, in bytes.
const GIVEN_BYTES_MAX: usize = 128;

/// A frame of a connection, or a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// The so-manieth frame of the so-manieth connection of this process.
    Frame(u64, u64),
    /// The so-manieth request of this process that came without a name.
    Request(u64),
    /// A request that came with one.
    Given(Arc<str>),
}

impl RequestId {
    /// The name of a request that came with `given`, as a gateway passes it on: that, if it is letters, digits and
    /// `-_.:`, at most 128 of them; else a new one.
    #[must_use]
    pub fn of_request(given: Option<&str>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let sane = |text: &&str| {
            (1..=GIVEN_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        };
        match given.filter(sane) {
            Some(given) => Self::Given(given.into()),
            None => Self::Request(NEXT.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(connection, frame) => write!(f, "{:x}-c{connection}-{frame}", process()),
            Self::Request(number) => write!(f, "{:x}-r{number}", process()),
            Self::Given(given) => f.write_str(given),
        }
    }
}

/// Tells this process from those before it, whose names are in the log as well: when it was first asked, in seconds.
fn process() -> u64 {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    *PROCESS.get_or_init(|| UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_name_is_taken_from_outside() {
        assert_eq!(RequestId::of_request(Some("4bf92f35-77b.a:1_Z")).to_string(), "4bf92f35-77b.a:1_Z");
        for given in [None, Some(""), Some("a b"), Some("a\"b"), Some("방"), Some(&*"a".repeat(129))] {
            assert!(matches!(RequestId::of_request(given), RequestId::Request(_)), "{given:?}");
        }
    }

    #[test]
    fn no_two_have_one_name() {
        let names = [RequestId::of_request(None), RequestId::of_request(None), RequestId::Frame(1, 2)];
        let [a, b, c] = names.map(|name| name.to_string());
        assert!(a != b && b != c && a != c, "{a} {b} {c}");
    }
}
