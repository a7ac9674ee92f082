//! The header `traceparent` (<https://www.w3.org/TR/trace-context/>, section 3.2).

use super::{SpanId, TraceId};

/// Version, trace, span and flags in hexadecimal digits, with dashes between.
const LENGTH: usize = 55;

/// The bit of the flags that says that the caller exports its spans of this trace.
const SAMPLED: u8 = 1;

/// Who called, in the words of the caller's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The caller's own span.
    pub span: SpanId,
    /// Whether the caller exports it.
    pub is_sampled: bool,
}

impl TraceParent {
    /// Reads the value of a header. None if it is invalid: then the request counts as one without it. A later version may add
    /// to the end.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(LENGTH)?;
        let mut parts = head.split(|byte| *byte == b'-');
        let [version] = hex::<1>(parts.next()?)?;
        let (trace, span) = (hex::<16>(parts.next()?)?, hex::<8>(parts.next()?)?);
        let [flags] = hex::<1>(parts.next()?)?;
        let is_whole = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let is_valid = is_whole && trace != [0; 16] && span != [0; 8];
        is_valid.then_some(Self { trace: TraceId(trace), span: SpanId(span), is_sampled: flags & SAMPLED != 0 })
    }
}

/// The bytes that digits stand for. The standard has lower-case digits alone.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn parse(text: &str) -> Option<TraceParent> {
        TraceParent::parse(text.as_bytes())
    }

    #[test]
    fn a_valid_one_names_trace_span_and_flag() {
        let parent = parse(&format!("00-{TRACE}-{SPAN}-01"))
            .map(|it| (it.trace.to_string(), it.span.to_string(), it.is_sampled));
        assert_eq!(parent, Some((TRACE.to_owned(), SPAN.to_owned(), true)));
        let flags =
            ["00", "02", "03", "ff"].map(|flags| parse(&format!("00-{TRACE}-{SPAN}-{flags}")).map(|it| it.is_sampled));
        assert_eq!(flags, [Some(false), Some(false), Some(true), Some(true)]);
        for later in ["cc-T-S-01", "cc-T-S-01-what-the-future-will-be", "fe-T-S-01-"] {
            assert!(parse(&later.replace('T', TRACE).replace('S', SPAN)).is_some(), "{later}");
        }
    }

    #[test]
    fn an_invalid_one_is_none() {
        let zeros = "0".repeat(32);
        for wrong in [
            "",
            "00",
            "00-T-S",
            "00-T-S-0",
            "00-T-S-1x",
            "00-T-S-01-",
            "00-T-S-01-more",
            "00-T-S-011",
            "ff-T-S-01",
            "cc-T-S-01.more",
            "0-T-S-001",
            "00-T--S-1",
            " 00-T-S-01",
            "00-T-S-01 ",
            "0x-T-S-01",
            "00_T_S_01",
            "00-S-T-01",
        ] {
            assert_eq!(parse(&wrong.replace('T', TRACE).replace('S', SPAN)), None, "{wrong}");
        }
        for wrong in [
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
            format!("00-{TRACE}-{SPAN}-0A"),
            format!("00-{}é-{SPAN}-01", &TRACE[..30]),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }
}
