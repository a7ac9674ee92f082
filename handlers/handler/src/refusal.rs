//! Refusals in one line.

use crate::Refusal;

impl Refusal {
    /// A refusal of the whole request or frame: a code for programs, such as `too_long`, and a sentence for people.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), field: None }
    }

    /// The same, with the field at fault, as the client named it.
    #[must_use]
    pub fn at(self, field: &str) -> Self {
        Self { field: Some(field.to_owned()), ..self }
    }
}
