//! What a home says while this host still catches up: it waits, up to so many bytes.

use super::link::ToldRun;

/// How many bytes wait. More are read from the database.
const BYTES_MAX: usize = 8 << 20;

/// Runs that wait, in their order.
#[derive(Default)]
pub(super) struct Early {
    runs: Vec<ToldRun>,
    bytes: usize,
}

impl Early {
    /// Keeps a run. False: too much waits, and what was kept is of no use.
    pub(super) fn push(&mut self, run: ToldRun) -> bool {
        self.bytes = self.bytes.saturating_add(run.frames.len());
        self.runs.push(run);
        self.bytes <= BYTES_MAX
    }

    pub(super) fn take(&mut self) -> Vec<ToldRun> {
        std::mem::take(self).runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ondol_host_model::Seq;

    #[test]
    fn more_than_may_wait_is_noticed_at_once_though_nothing_follows() {
        let run = |seq| ToldRun {
            first: Some(Seq(seq)),
            last: Some(Seq(seq)),
            messages: 1,
            settled: Vec::new(),
            changes: Vec::new(),
            frames: Bytes::from(vec![0; BYTES_MAX / 2]),
        };
        let mut early = Early::default();
        assert!(early.push(run(1)) && early.push(run(2)));
        let kept: Vec<_> = early.take().into_iter().filter_map(|run| run.last).collect();
        assert_eq!(kept, [Seq(1), Seq(2)]);
        assert!(early.push(run(3)) && early.push(run(4)), "what was taken does not count");
        assert!(!early.push(run(5)));
    }
}
