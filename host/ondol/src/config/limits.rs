//! Every limit. [`rows`] is the table; docs/limits.md shows it.

mod markdown;
mod parts;
mod rows;
mod table;

use super::applies::Applies;
use super::given::Given;
use super::settings::Settings;
use super::units::{Measure, grouped};
pub use rows::Limits;

/// A day.
const DAY_MS: u64 = 86_400_000;

/// One row of the table of limits.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Its name in the TOML table `[limits]`. The environment variable is `ONDOL_` and the name in upper case.
    pub name: &'static str,
    /// What the limits of its group protect.
    pub group: &'static str,
    /// The default.
    pub default: u64,
    /// The unit.
    pub unit: &'static str,
    /// The smallest value that it takes.
    pub min: u64,
    /// The largest value that it takes.
    pub max: u64,
    /// When a changed value applies.
    pub applies: Applies,
    /// What the limit bounds.
    pub doc: &'static str,
}

impl Limit {
    /// Reads a value. An error lists those that it takes, and may say what was meant.
    fn read(&self, given: &Given) -> Result<u64, String> {
        let value = match given.as_str() {
            Some(text) => self.measure().read(text),
            None => given.as_number().ok_or(None),
        };
        match value {
            Ok(value) if (self.min..=self.max).contains(&value) => Ok(value),
            Ok(_) | Err(None) => Err(self.takes()),
            Err(Some(hint)) => Err(format!("{} ({hint})", self.takes())),
        }
    }

    /// What its number measures.
    pub(super) fn measure(&self) -> Measure {
        Measure::of(self.unit)
    }

    /// The values that it takes, in the words of an error.
    pub(super) fn takes(&self) -> String {
        let (measure, unit) = (self.measure(), self.unit);
        let [min, max] = [self.min, self.max].map(|bound| measure.show(bound));
        match measure {
            Measure::Count => format!("a whole number from {min} to {max} ({unit})"),
            Measure::Bytes => format!("a size from {min} to {max}, such as \"64KiB\" or 65536 ({unit})"),
            Measure::Milliseconds => format!("a time from {min} to {max}, such as \"25s\" or 25000 ({unit})"),
            Measure::Days => format!("a time from {min} to {}d, such as \"30d\" or 30 ({unit})", grouped(self.max)),
        }
    }
}

impl Limits {
    /// Sets the limit `name`, or `HANDLER.NAME` for one handler. None for an unknown limit. An error lists the
    /// values that it takes.
    pub(super) fn set(&mut self, name: &str, given: &Given) -> Option<Result<(), String>> {
        let (handler, name) = match name.split_once('.') {
            Some((handler, name)) => (Some(handler), name),
            None => (None, name),
        };
        let limit = Self::TABLE.iter().find(|limit| limit.name == name)?;
        let value = match limit.read(given) {
            Ok(value) => value,
            Err(takes) => return Some(Err(takes)),
        };
        match handler {
            None => self.put(name, value),
            Some(handler) => {
                let handler = Settings::HANDLERS.into_iter().find(|known| *known == handler)?;
                Self::OF_EACH_HANDLER.contains(&name).then_some(())?;
                self.of_handlers.insert((handler, limit.name), value);
                Some(Ok(()))
            }
        }
    }

    /// The limits that can be set per handler: `messages.handler_deadline_ms` overrides `handler_deadline_ms`,
    /// whichever layer sets that.
    pub const OF_EACH_HANDLER: [&'static str; 5] = [
        "handler_deadline_ms",
        "handler_memory_bytes_max",
        "handler_answer_bytes_max",
        "handler_log_bytes_max",
        "handler_calls_per_instance_max",
    ];

    /// The limits of one handler, by its name.
    #[must_use]
    pub fn of(&self, handler: &str) -> Self {
        let mut limits = self.clone();
        for ((_, name), value) in self.of_handlers.iter().filter(|((of, _), _)| *of == handler) {
            // Its range was checked when it was set.
            let _ = limits.put(name, *value);
        }
        limits
    }

    /// Takes over one limit of others.
    pub(super) fn take(&mut self, name: &str, other: &Self) {
        if let Some(value) = other.get(name) {
            // It is within the range there.
            let _ = self.put(name, value);
        }
    }

    /// The names of all per-handler limits, such as `messages.handler_deadline_ms`.
    pub(super) fn names_of_handlers() -> impl Iterator<Item = String> {
        let of = |handler| Self::OF_EACH_HANDLER.into_iter().map(move |name| format!("{handler}.{name}"));
        Settings::HANDLERS.into_iter().flat_map(of)
    }

    /// Checks a value that is given in place of the limit `name`. An error lists the values that the limit takes.
    pub(crate) fn check(name: &str, value: u64) -> Result<u64, String> {
        let limit = Self::TABLE.iter().find(|limit| limit.name == name);
        match limit {
            Some(limit) if !(limit.min..=limit.max).contains(&value) => Err(limit.takes()),
            _ => Ok(value),
        }
    }

    /// The largest value that the limit `name` takes.
    #[must_use]
    pub fn largest(name: &str) -> usize {
        let limit = Self::TABLE.iter().find(|limit| limit.name == name);
        limit.and_then(|limit| usize::try_from(limit.max).ok()).unwrap_or_default()
    }
}
