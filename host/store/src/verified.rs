//! What a check of a database has found: figures, and what is wrong in words.

use std::fmt;

/// How many problems are told in words.
const SHOWN_MAX: usize = 20;

/// The outcome of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// The version of the schema, if it is an earlier one: only the structure of the file was checked then.
    pub earlier_schema: Option<i64>,
    /// The number of rooms.
    pub rooms: u64,
    /// The number of messages.
    pub messages: u64,
    /// The number of segments of the room index. PostgreSQL has none.
    pub segments: u64,
    /// What is wrong.
    pub problems: Problems,
}

/// What is wrong with a database: the first problems, and how many there are. It names rooms and messages by their
/// numbers, and no users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    shown: Vec<String>,
    count: u64,
}

impl Problems {
    pub(crate) fn add(&mut self, problem: impl FnOnce() -> String) {
        self.count += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(problem());
        }
    }

    /// The first problems.
    #[must_use]
    pub fn shown(&self) -> &[String] {
        &self.shown
    }

    /// The number of all problems.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown.first().map_or("no problem", String::as_str))?;
        match self.count {
            0 | 1 => Ok(()),
            count => write!(f, " (and {} more)", count - 1),
        }
    }
}
