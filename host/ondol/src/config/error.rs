//! Problems of a configuration, in words that let an operator fix them without reading the source.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// All problems of a configuration, one per line.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            write!(f, "{gap}{}", one_line(&problem.to_string()))?;
        }
        Ok(())
    }
}

/// A text whose control characters are escaped: a value may hold anything.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_debug()) } else { line.push(c) }
    }
    line
}

/// One problem of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("{}: cannot read the file: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The syntax is wrong.
    #[error("{origin}: {why}")]
    Malformed {
        /// Where it was given.
        origin: Origin,
        /// The expected form.
        why: String,
    },
    /// No setting has this name.
    #[error("{origin}: unknown setting `{name}`{}", did_you_mean(nearest.as_deref()))]
    Unknown {
        /// Where it was given.
        origin: Origin,
        /// The name as given.
        name: String,
        /// The most similar known name, if one is similar enough.
        nearest: Option<String>,
    },
    /// The value has the wrong type or is out of range.
    #[error("{origin}: `{key}` takes {takes}; got {got}")]
    Invalid {
        /// Where it was given.
        origin: Origin,
        /// The setting.
        key: String,
        /// The values that it takes.
        takes: String,
        /// The value as given.
        got: String,
    },
    /// Settings do not go together.
    #[error("{0}")]
    Conflict(String),
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, from 1.
    File(PathBuf, usize),
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The candidate most similar to `name`, if at most a third of its letters differ.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, candidate) = candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= candidate.chars().count().max(3)).then_some(candidate)
}
