//! Prints settings.

use serde_json::Value;

use super::fields::{lines, object, pairs};

/// What is shown of a setting, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// The settings of the handlers that a command changed.
pub(super) fn changed(answer: &Value) {
    for (handler, row) in pairs(answer.get("settings")) {
        let (in_force, taken_away) = (pairs(object(row, "in_force")), lines(row, "taken_away"));
        if in_force.is_empty() && taken_away.is_empty() {
            continue;
        }
        println!("settings of {handler}");
        for (key, value) in in_force {
            println!("  {key} = {}", shortened(value.as_str().unwrap_or_default()));
        }
        taken_away.iter().for_each(|key| println!("  {key}: taken away"));
        let (unasked, asked) = (lines(row, "unasked").join(", "), lines(row, "asked").join(", "));
        if !unasked.is_empty() {
            let asked = if asked.is_empty() { "no setting at all".to_owned() } else { asked };
            println!("  WARNING: no call of the admission checks asked for {unasked}; they asked for {asked}");
        }
    }
}

/// The beginning of the first line of a long setting, and how long it is in all.
pub(super) fn shortened(value: &str) -> String {
    let first = value.lines().next().unwrap_or_default();
    let shown: String = first.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() == value.len() { shown } else { format!("{shown} … ({} characters)", value.chars().count()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_setting_is_shortened() {
        assert_eq!(shortened("words"), "words");
        assert_eq!(shortened("one\ntwo"), "one … (7 characters)");
        assert_eq!(shortened(&"방".repeat(300)), format!("{} … (300 characters)", "방".repeat(200)));
    }
}
