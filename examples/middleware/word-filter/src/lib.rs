//! Middleware that looks for words in each message which the handler behind it would post. Settings: `words`, a JSON
//! array of strings, and `mode`, which is `refuse` (the default) or `mask`.

use std::collections::HashSet;

/// The operator's settings.
pub struct Filter {
    /// In lower case.
    words: HashSet<String>,
    masks: bool,
}

impl Filter {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// A sentence that names the setting and what it takes.
    pub fn new(words: Option<&str>, mode: Option<&str>) -> Result<Self, String> {
        let words: Vec<String> = serde_json::from_str(words.unwrap_or("[]"))
            .map_err(|error| format!("the setting `words` takes a JSON array of strings: {error}"))?;
        let masks = match mode.unwrap_or("refuse") {
            "refuse" => false,
            "mask" => true,
            other => return Err(format!("the setting `mode` takes `refuse` or `mask`; got `{other}`")),
        };
        Ok(Self { words: words.iter().map(|word| word.to_lowercase()).collect(), masks })
    }

    /// The text as it may be posted. None: it has one of the words, and they are not masked.
    #[must_use]
    pub fn check(&self, text: String) -> Option<String> {
        if self.words.is_empty() || !words_of(&text).any(|word| self.is_listed(word)) {
            return Some(text);
        }
        self.masks.then(|| self.mask(&text))
    }

    fn is_listed(&self, word: &str) -> bool {
        self.words.contains(&word.to_lowercase())
    }

    fn mask(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        for part in text.split_inclusive(|char: char| !char.is_alphanumeric()) {
            let word = part.trim_end_matches(|char: char| !char.is_alphanumeric());
            if self.is_listed(word) {
                masked.extend(word.chars().map(|_| '*'));
                masked.push_str(part.get(word.len()..).unwrap_or_default());
            } else {
                masked.push_str(part);
            }
        }
        masked
    }
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_alphanumeric())
}

#[cfg(target_arch = "wasm32")]
mod component {
    use std::sync::OnceLock;

    use super::Filter;
    use bindings::exports::ondol::chat::messages::Guest;
    use bindings::ondol::chat::types::{Action, Draft, Frame, Refusal, RoomId, UserKey};
    use bindings::ondol::chat::{messages, settings};

    struct Component;

    impl Guest for Component {
        fn receive(sender: UserKey, room: RoomId, frame: Frame) -> Result<Action, Refusal> {
            let action = messages::receive(sender, room, &frame)?;
            let Action::Post(draft) = action else { return Ok(action) };
            match filter().check(draft.text) {
                Some(text) => Ok(Action::Post(Draft { text, ..draft })),
                None => Err(Refusal {
                    code: "word_not_allowed".to_owned(),
                    message: "The message has a word that is not allowed here.".to_owned(),
                    field: Some("message".to_owned()),
                }),
            }
        }
    }

    fn filter() -> &'static Filter {
        static FILTER: OnceLock<Filter> = OnceLock::new();
        FILTER.get_or_init(|| {
            let (words, mode) = (settings::get("words"), settings::get("mode"));
            match Filter::new(words.as_deref(), mode.as_deref()) {
                Ok(filter) => filter,
                #[allow(clippy::panic, reason = "a trap at admission is how a handler turns settings down")]
                Err(why) => panic!("{why}"),
            }
        })
    }

    mod bindings {
        #![allow(
            unsafe_code,
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::allow_attributes_without_reason,
            reason = "written by wit-bindgen"
        )]
        use super::Component;

        wit_bindgen::generate!({ path: "../../../wit", world: "message-middleware" });
        export!(Component);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects")]
    use super::*;

    const WORDS: Option<&str> = Some(r#"["damn","바보"]"#);

    #[test]
    fn a_word_counts_whole_and_in_any_case() {
        let filter = Filter::new(WORDS, None).unwrap();
        for (text, fine) in [("you DAMN fool", false), ("바보!", false), ("damnation", true), ("", true)] {
            assert_eq!(filter.check(text.to_owned()).is_some(), fine, "{text}");
        }
    }

    #[test]
    fn a_masked_word_keeps_its_length() {
        let filter = Filter::new(WORDS, Some("mask")).unwrap();
        assert_eq!(filter.check("Damn, 바보 둘".to_owned()).unwrap(), "****, ** 둘");
    }

    #[test]
    fn settings_that_it_cannot_use_are_named() {
        assert!(Filter::new(Some("damn"), None).is_err_and(|why| why.contains("`words`")));
        assert!(Filter::new(None, Some("delete")).is_err_and(|why| why.contains("`mode`")));
    }
}
