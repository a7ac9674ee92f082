//! The id of a request or a frame. Answers and log lines carry it, so that a client and an operator can refer to the
//! same request.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::UNIX_EPOCH;

/// The longest id that is accepted from a client, in bytes.
const GIVEN_BYTES_MAX: usize = 128;

/// A frame of a connection, or a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// The number of a connection of this process, and the number of a frame of that connection.
    Frame(u64, u64),
    /// The number of a request that came without an id.
    Request(u64),
    /// The id that came with a request.
    Given(Arc<str>),
}

impl RequestId {
    /// The id of a request that came with `given`, usually from a gateway. A new one unless `given` is 1 to 128
    /// letters, digits or `-_.:`.
    #[must_use]
    pub fn of_request(given: Option<&str>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let is_valid = |text: &&str| {
            (1..=GIVEN_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        };
        match given.filter(is_valid) {
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

/// Tells this process from earlier ones, whose ids are in the log as well: the second of its first request.
fn process() -> u64 {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    *PROCESS.get_or_init(|| UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_id_is_accepted_from_a_client() {
        assert_eq!(RequestId::of_request(Some("4bf92f35-77b.a:1_Z")).to_string(), "4bf92f35-77b.a:1_Z");
        for given in [None, Some(""), Some("a b"), Some("a\"b"), Some("방"), Some(&*"a".repeat(129))] {
            assert!(matches!(RequestId::of_request(given), RequestId::Request(_)), "{given:?}");
        }
    }

    #[test]
    fn ids_are_unique() {
        let ids = [RequestId::of_request(None), RequestId::of_request(None), RequestId::Frame(1, 2)];
        let [a, b, c] = ids.map(|id| id.to_string());
        assert!(a != b && b != c && a != c, "{a} {b} {c}");
    }
}
