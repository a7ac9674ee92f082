//! What holds for every `traceparent`.

use ondol_inputs::proptest::prelude::*;
use ondol_inputs::{holds, misspelt, text};

use super::*;

const VALID: &str = "(00|0[1-9a-f]|[1-9a-e][0-9a-f])-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}";

#[test]
fn what_is_written_is_read_and_its_last_bit_is_the_flag() {
    holds([], (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<u8>(), 0_u8..=254), |(trace, span, flags, version)| {
        let written = format!("{version:02x}-{}-{}-{flags:02x}", TraceId(trace), SpanId(span));
        let expected = (trace != [0; 16] && span != [0; 8]).then(|| {
            let is_sampled = flags % 2 == 1;
            TraceParent { trace: TraceId(trace), span: SpanId(span), is_sampled }
        });
        prop_assert_eq!(TraceParent::parse(written.as_bytes()), expected);
        prop_assert_eq!(TraceParent::parse(format!("ff{}", &written[2..]).as_bytes()), None);
        Ok(())
    });
}

#[test]
fn whatever_comes_is_none_or_as_it_was_written() {
    let generated = prop_oneof![misspelt(VALID), misspelt(VALID).prop_map(|it| it.to_uppercase()), text()];
    holds([], generated, |given| {
        if let Some(TraceParent { trace, span, .. }) = TraceParent::parse(given.as_bytes()) {
            prop_assert!(given[2..].starts_with(&format!("-{trace}-{span}-")), "{given:?}");
            prop_assert!(given.len() == 55 || given.as_bytes()[55] == b'-' && !given.starts_with("00"), "{given:?}");
        }
        Ok(())
    });
}
