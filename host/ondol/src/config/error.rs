//! What can be wrong with a config, told so that an operator can mend it without reading the source.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Everything that is wrong with a config, a line each.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}{problem}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong with a config.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not written as it has to be.
    #[error("{origin}: {why}")]
    Malformed {
        /// Where it stands.
        origin: Origin,
        /// What it would have to be.
        why: String,
    },
    /// There is no setting of that name.
    #[error("{origin}: there is no setting `{name}`{}", did_you_mean(nearest.as_deref()))]
    Unknown {
        /// Where it stands.
        origin: Origin,
        /// The name as it was given.
        name: String,
        /// The known name that is nearest, if one is near.
        nearest: Option<String>,
    },
    /// The value has the wrong type or is out of its range.
    #[error("{origin}: `{key}` takes {takes}; got {got}")]
    Invalid {
        /// Where it stands.
        origin: Origin,
        /// The setting.
        key: String,
        /// What it takes.
        takes: String,
        /// What it was given.
        got: String,
    },
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, from 1.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "{name} in the environment"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The candidate nearest to `name`, if one is near enough to have been meant: a third of its letters may differ.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, candidate) = candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= candidate.chars().count().max(3)).then_some(candidate)
}
