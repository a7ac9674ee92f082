//! The table of limits as docs/configuration.md shows it.

use std::fmt::Write as _;

use super::{Limit, Limits};

impl Limits {
    /// The table of limits in Markdown, as docs/configuration.md contains it.
    #[must_use]
    pub fn markdown() -> String {
        let mut table = String::from("| limit | default | unit | what it bounds |\n|---|---:|---|---|\n");
        for Limit { name, default, unit, doc, .. } in Self::TABLE {
            let also = if Self::OF_EACH_HANDLER.contains(name) { " Can be set per handler." } else { "" };
            // Writing to a String cannot fail.
            let _ = writeln!(table, "| `{name}` | {} | {unit} | {}{also} |", grouped(*default), doc.trim());
        }
        table
    }
}

/// A number with thousands separators.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
