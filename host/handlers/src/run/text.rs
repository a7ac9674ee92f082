//! A handler's text as a part of a line for the operator: what would end the line, or steer a terminal, is escaped, and
//! it is bounded.

/// The text in one line.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_debug());
        } else {
            line.push(c);
        }
    }
    line
}

/// The first `chars_max` characters of the text in one line.
pub(crate) fn shorten(text: &str, chars_max: usize) -> String {
    let line = one_line(text);
    match line.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{} …", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_in_its_line() {
        assert_eq!(one_line("a\n\u{1b}[31m방"), "a\\n\\u{1b}[31m방");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shorten("방방방", 3), "방방방");
        assert_eq!(shorten("방방방방", 3), "방방방 …");
    }
}
