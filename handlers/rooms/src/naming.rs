//! What a room is called, and what happens to a post that has one. Knows nothing of components: text in, text or a
//! refusal out.

use std::borrow::Cow;

/// The longest name that the contract lets a handler give, in characters.
const CONTRACT_LENGTH_MAX: usize = 100;

/// What the operator has set, or the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The name of a room whose creator gave none. Setting `default_name`.
    pub default_name: String,
    /// The longest name that a client may give, in characters after trimming, in NFC. Setting
    /// `name_length_max`.
    pub name_length_max: usize,
    /// What to do when the post has a room already. Setting `post_has_room`.
    pub standing: Standing,
}

/// What becomes of a request for a post that has a room already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The standing room answers.
    Reuse,
    /// The request is refused.
    Refuse,
}

/// A no to a name. The field at fault is always `name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs: `blank`, `too_long` or `invalid`.
    pub code: &'static str,
    /// For people: one sentence. Never repeats the name.
    pub message: String,
}

impl Rules {
    /// The name to give a room for which `asked` was asked: trimmed and its directions closed, or the default name when
    /// nothing was asked.
    ///
    /// # Errors
    /// `blank` when nothing visible was asked, `invalid` for control characters, `too_long` past
    /// `name_length_max`.
    pub fn name(&self, asked: Option<&str>) -> Result<String, Refusal> {
        match asked {
            None => Ok(self.default_name.clone()),
            Some(asked) => checked(asked, self.name_length_max).map(Cow::into_owned),
        }
    }

    /// The rules that `get` tells of; a key that it has nothing for keeps its default.
    ///
    /// # Errors
    /// A sentence with the key and what it takes, when a value is none of that.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut rules = Self::default();
        if let Some(value) = get("name_length_max") {
            rules.name_length_max =
                value.parse().ok().filter(|length| (1..=CONTRACT_LENGTH_MAX).contains(length)).ok_or_else(|| {
                    format!(
                        "The setting name_length_max takes a whole number of characters from 1 to \
                         {CONTRACT_LENGTH_MAX}, not {value:?}."
                    )
                })?;
        }
        if let Some(value) = get("default_name") {
            // The operator's own choice: bound by the contract, and not by what clients may give.
            let name = checked(&value, CONTRACT_LENGTH_MAX).map_err(|_| {
                format!(
                    "The setting default_name takes 1 to {CONTRACT_LENGTH_MAX} characters that are not all white \
                     space or invisible, and no control characters, not {value:?}."
                )
            })?;
            rules.default_name = name.into_owned();
        }
        if let Some(value) = get("post_has_room") {
            rules.standing = match value.as_str() {
                "reuse" => Standing::Reuse,
                "refuse" => Standing::Refuse,
                _ => {
                    return Err(format!("The setting post_has_room takes reuse or refuse, not {value:?}."));
                }
            };
        }
        Ok(rules)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            default_name: "새로운 채팅방".to_owned(),
            name_length_max: CONTRACT_LENGTH_MAX,
            standing: Standing::Reuse,
        }
    }
}

/// `name` as it is kept, if it may be a room's.
fn checked(name: &str, length_max: usize) -> Result<Cow<'_, str>, Refusal> {
    let name = ondol_text::name(name);
    let refuse = |code, message| Err(Refusal { code, message });
    if name.is_empty() {
        refuse("blank", "The name must not be blank.".to_owned())
    } else if name.contains(char::is_control) {
        refuse("invalid", "The name must not contain line breaks or other control characters.".to_owned())
    } else if ondol_text::is_longer(&name, length_max) {
        refuse("too_long", format!("The name must have at most {length_max} characters."))
    } else {
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says so by failing")]
    use super::*;

    fn code(asked: &str) -> &'static str {
        Rules::default().name(Some(asked)).unwrap_err().code
    }

    fn set(key: &'static str, value: &'static str) -> Result<Rules, String> {
        Rules::read(|asked| (asked == key).then(|| value.to_owned()))
    }

    #[test]
    fn a_name_is_trimmed_of_white_space_of_every_script() {
        let rules = Rules::default();
        assert_eq!(rules.name(Some(" \t공부방\u{3000}\n")).unwrap(), "공부방");
        assert_eq!(rules.name(Some("two  words")).unwrap(), "two  words");
    }

    #[test]
    fn a_name_is_trimmed_of_what_is_invisible_and_its_directions_are_closed() {
        let rules = Rules::default();
        assert_eq!(rules.name(Some("\u{3164}공부\u{200b}방\u{feff} ")).unwrap(), "공부\u{200b}방");
        assert_eq!(rules.name(Some("❤\u{fe0f}")).unwrap(), "❤\u{fe0f}");
        assert_eq!(rules.name(Some("\u{202e}방")).unwrap(), "\u{202e}방\u{202c}");
        // The contract counts what closes a direction.
        assert!(rules.name(Some(&format!("\u{202e}{}", "가".repeat(98)))).is_ok());
        assert_eq!(code(&format!("\u{202e}{}", "가".repeat(99))), "too_long");
    }

    #[test]
    fn the_limit_counts_composed_characters() {
        let rules = Rules::default();
        let decomposed = |count: usize| "\u{1112}\u{1161}\u{11ab}".repeat(count);
        assert_eq!(rules.name(Some(&decomposed(100))).unwrap(), decomposed(100));
        assert_eq!(code(&decomposed(101)), "too_long");
    }

    #[test]
    fn a_room_without_a_name_gets_the_default_one() {
        assert_eq!(Rules::default().name(None).unwrap(), "새로운 채팅방");
        assert_eq!(set("default_name", " 방 ").unwrap().name(None).unwrap(), "방");
    }

    #[test]
    fn the_limit_counts_characters_after_trimming() {
        let rules = Rules::default();
        assert_eq!(rules.name(Some(&"가".repeat(100))).unwrap().chars().count(), 100);
        assert!(rules.name(Some(&format!("  {}  ", "가".repeat(100)))).is_ok());
        assert_eq!(code(&"가".repeat(101)), "too_long");
        let short = set("name_length_max", "2").unwrap();
        assert!(short.name(Some("둘둘")).is_ok());
        assert_eq!(short.name(Some("셋셋셋")).unwrap_err().message, "The name must have at most 2 characters.");
        assert_eq!(short.name(None).unwrap(), "새로운 채팅방");
    }

    #[test]
    fn blank_names_and_control_characters_are_refused() {
        for blank in ["", " ", "\n\t", "\u{3000}", "\u{a0}", "\u{3164}", "\u{2060} \u{2800}"] {
            assert_eq!(code(blank), "blank", "{blank:?}");
        }
        for invalid in ["a\0b", "a\nb", "a\tb", "a\u{7f}b", "a\u{9b}b", "\u{1b}[31m"] {
            assert_eq!(code(invalid), "invalid", "{invalid:?}");
        }
    }

    #[test]
    fn a_setting_that_makes_no_sense_names_its_key_and_what_it_takes() {
        for value in ["", "0", "101", "-1", "many", "1.5", " 5"] {
            let why = set("name_length_max", value).unwrap_err();
            assert!(why.contains("name_length_max") && why.contains("1 to 100"), "{why}");
        }
        assert!(set("default_name", "  ").unwrap_err().contains("default_name"));
        assert!(set("post_has_room", "Reuse").unwrap_err().contains("reuse or refuse"));
        assert_eq!(set("post_has_room", "refuse").unwrap().standing, Standing::Refuse);
        assert_eq!(Rules::read(|_| None).unwrap(), Rules::default());
    }
}
