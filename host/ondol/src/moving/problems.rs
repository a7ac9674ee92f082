//! What is wrong with a file: the first problems by their lines, and how many there are.

/// How many problems are told in words.
const SHOWN_MAX: usize = 20;

/// What is wrong with a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Problems {
    shown: Vec<(u64, String)>,
    count: u64,
}

impl Problems {
    pub(super) fn add(&mut self, line: u64, problem: String) {
        self.add_times(1, line, problem);
    }

    /// Adds a problem of so many lines, of which one is told.
    pub(super) fn add_times(&mut self, times: u64, line: u64, problem: String) {
        self.count += times;
        let place = self.shown.partition_point(|(shown, _)| *shown <= line);
        self.shown.insert(place, (line, problem));
        self.shown.truncate(SHOWN_MAX);
    }

    /// The first problems, as lines of text.
    pub(crate) fn shown(&self) -> impl Iterator<Item = String> {
        self.shown.iter().map(|(line, problem)| format!("line {line}: {problem}"))
    }

    /// The number of all problems.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_are_shown_in_order() {
        let mut problems = Problems::default();
        (1..=30).rev().for_each(|line| problems.add(line, "bad".to_owned()));
        let shown: Vec<_> = problems.shown().collect();
        assert_eq!((problems.count(), shown.len()), (30, SHOWN_MAX));
        assert_eq!((shown[0].as_str(), shown[19].as_str()), ("line 1: bad", "line 20: bad"));
    }
}
