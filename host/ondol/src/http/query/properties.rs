//! What holds for the numbers and texts of every query.

use ondol_inputs::proptest::prelude::*;
use ondol_inputs::proptest::sample::select;
use ondol_inputs::{corpus, holds, misspelt, text};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::*;

#[test]
fn a_number_is_in_its_range_or_is_refused_by_name() {
    let generated = prop_oneof![
        misspelt(select(corpus::queries())),
        misspelt("(after|before|limit)=[0-9]{0,20}(&(after|before|limit)=[0-9]{0,20})?"),
        text(),
    ];
    holds(corpus::queries(), generated, |query| {
        let query = Query(&query);
        for name in ["after", "before", "limit"] {
            match query.number(name) {
                Ok(number) => prop_assert!(number.is_none_or(|number| i64::try_from(number).is_ok()), "{number:?}"),
                Err(HttpError::Field { field, code, message }) => {
                    prop_assert!(field == name && code == "invalid" && message.is_ascii(), "{message}");
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
        if let Ok(limit) = query.limit(50, 200) {
            prop_assert!((1..=200).contains(&limit));
        }
        Ok(())
    });
}

#[test]
fn a_number_and_a_text_are_read_as_they_were_written_among_other_keys() {
    holds([], (any::<u64>(), text(), text(), any::<bool>()), |(number, other, written, is_last)| {
        let other = format!("{}=1", utf8_percent_encode(&format!("x{other}"), NON_ALPHANUMERIC));
        let query = if is_last { format!("{other}&after={number}") } else { format!("after={number}&{other}") };
        let expected = i64::try_from(number).is_ok().then_some(number);
        prop_assert_eq!(Query(&query).number("after").ok().flatten(), expected);
        let twice = format!("{query}&after={number}");
        prop_assert!(Query(&twice).number("after").is_err());
        let text = format!("{query}&epoch={}", utf8_percent_encode(&written, NON_ALPHANUMERIC));
        let read = Query(&text).text("epoch").ok().flatten();
        prop_assert_eq!(read.as_deref(), Some(written.as_str()));
        Ok(())
    });
}
