//! The failures of the disk: a seed and rules, in an environment variable. For example
//! `seed=7; cut on=db at=12 after=/tmp/now; fail_sync on=wal times=2`.

use std::{
    fmt::{self, Display, Formatter},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, Error, bail};

/// The variable with the plan. It has another prefix than the server's own variables, of which an unknown one is an
/// error.
pub const VARIABLE: &str = "TEST_DISK";

/// All failures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The seed of the random numbers.
    pub seed: u64,
    /// The duration of a sync, in microseconds.
    pub sync_us: u64,
    /// The failures. The first rule that applies to an operation decides.
    pub rules: Vec<Rule>,
}

/// One failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its kind.
    pub kind: Kind,
    /// The files it applies to.
    pub on: Place,
    /// The first of the matching operations that fails, from 1.
    pub at: u64,
    /// The number of operations that fail.
    pub times: u64,
    /// Operations count once this file exists. None: from the start.
    pub after: Option<PathBuf>,
}

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The power is cut before a write, truncation, sync or deletion.
    Cut,
    /// A write fails, and nothing of it is written.
    FailWrite,
    /// A write fails after half of it.
    ShortWrite,
    /// A write finds the disk full after half of it.
    Full,
    /// A sync fails. Unsynced writes are lost unless they are written again, though the page cache shows them until the
    /// file is closed: as on Linux.
    FailSync,
    /// A sync succeeds and makes nothing durable.
    SkipSync,
}

/// The files of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// All files of a database.
    Any,
    /// The database's own file, which in WAL mode only checkpoints write to.
    Db,
    /// The write-ahead log.
    Wal,
}

/// An operation on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Writes bytes at an offset.
    Write,
    /// Sets the length.
    Truncate,
    /// Makes the file durable.
    Sync,
    /// Removes the name.
    Delete,
}

impl Plan {
    /// A plan with this seed and without failures.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Adds a rule.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Sets the duration of syncs.
    #[must_use]
    pub fn sync_us(mut self, sync_us: u64) -> Self {
        self.sync_us = sync_us;
        self
    }
}

impl Rule {
    /// Fails once, at the first operation on any file.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind, on: Place::Any, at: 1, times: 1, after: None }
    }

    /// Sets the files.
    #[must_use]
    pub fn on(mut self, on: Place) -> Self {
        self.on = on;
        self
    }

    /// Sets the first operation that fails, from 1.
    #[must_use]
    pub fn at(mut self, at: u64) -> Self {
        self.at = at;
        self
    }

    /// Sets the number of operations that fail.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Fails from then on.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    /// Counts operations once `file` exists.
    #[must_use]
    pub fn after(mut self, file: impl Into<PathBuf>) -> Self {
        self.after = Some(file.into());
        self
    }

    /// Whether the rule matches an operation on a file now.
    #[must_use]
    pub fn concerns(&self, operation: Operation, file: &Path) -> bool {
        let kind = match self.kind {
            Kind::Cut => true,
            Kind::FailWrite | Kind::ShortWrite | Kind::Full => operation == Operation::Write,
            Kind::FailSync | Kind::SkipSync => operation == Operation::Sync,
        };
        kind && self.on.holds(file) && self.after.as_ref().is_none_or(|after| after.exists())
    }
}

impl Place {
    fn holds(self, file: &Path) -> bool {
        let name = file.to_string_lossy();
        match self {
            Self::Any => true,
            Self::Db => !name.ends_with("-wal") && !name.ends_with("-journal"),
            Self::Wal => name.ends_with("-wal"),
        }
    }
}

const KINDS: [(&str, Kind); 6] = [
    ("cut", Kind::Cut),
    ("fail_write", Kind::FailWrite),
    ("short_write", Kind::ShortWrite),
    ("full", Kind::Full),
    ("fail_sync", Kind::FailSync),
    ("skip_sync", Kind::SkipSync),
];

const PLACES: [(&str, Place); 3] = [("any", Place::Any), ("db", Place::Db), ("wal", Place::Wal)];

fn named<T: Copy>(names: &[(&str, T)], wanted: &str) -> Result<T, Error> {
    let found = names.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    found.with_context(|| format!("the plan of the test disk does not know {wanted:?}"))
}

fn name_of<T: Copy + PartialEq>(names: &[(&'static str, T)], wanted: T) -> &'static str {
    names.iter().find(|(_, value)| *value == wanted).map_or("", |(name, _)| name)
}

impl FromStr for Plan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut plan = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("seed", number)) => plan.seed = number.parse()?,
                Some(("sync_us", number)) => plan.sync_us = number.parse()?,
                _ => plan.rules.push(part.parse()?),
            }
        }
        Ok(plan)
    }
}

impl FromStr for Rule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut words = text.split(' ');
        let mut rule = Self::new(named(&KINDS, words.next().unwrap_or_default())?);
        for word in words {
            match word.split_once('=') {
                Some(("on", place)) => rule.on = named(&PLACES, place)?,
                Some(("at", number)) => rule.at = number.parse()?,
                Some(("times", number)) => rule.times = number.parse()?,
                Some(("after", file)) => rule.after = Some(file.into()),
                _ => bail!("the plan of the test disk does not know {word:?}"),
            }
        }
        Ok(rule)
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "seed={}; sync_us={}", self.seed, self.sync_us)?;
        self.rules.iter().try_for_each(|rule| write!(f, "; {rule}"))
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { kind, on, at, times, after } = self;
        write!(f, "{} on={} at={at} times={times}", name_of(&KINDS, *kind), name_of(&PLACES, *on))?;
        after.iter().try_for_each(|file| write!(f, " after={}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let plan = Plan::seeded(7)
            .sync_us(300)
            .rule(Rule::new(Kind::Cut).on(Place::Db).at(12).after("/tmp/now"))
            .rule(Rule::new(Kind::FailSync).on(Place::Wal).always());
        assert_eq!(plan.to_string().parse::<Plan>().unwrap(), plan);
    }

    #[test]
    fn an_unknown_word_is_an_error() {
        for text in ["cuts", "cut an=db", "cut on=shm", "seed=x", "cut at="] {
            assert!(text.parse::<Plan>().is_err(), "{text}");
        }
    }
}
