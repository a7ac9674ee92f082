//! Progress of long work, on standard error: a bar on a terminal, lines elsewhere, nothing for work that is done at once. Knows
//! nothing of the work, which reports through a function and never waits for what is shown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that takes less time shows nothing.
const SHOWN_AFTER: Duration = Duration::from_millis(500);
/// How often a bar is drawn, and how often it is looked whether a line is due.
const INTERVAL: Duration = Duration::from_millis(100);
/// Two lines are at least this far apart.
const LINES_APART_MIN: Duration = Duration::from_secs(5);
/// Work that takes long for the next tenth says that it goes on.
const LINES_APART_MAX: Duration = Duration::from_secs(60);

/// Shows how far some work is, until it is dropped. The caller drops it before it writes to standard error.
pub(crate) struct Progress {
    state: Arc<State>,
    display: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    done: AtomicU64,
    /// 0: unknown.
    total: AtomicU64,
    ended: Mutex<bool>,
    end: Condvar,
}

impl Progress {
    /// Starts to show `what`, such as "copying ondol.db (3 MB)".
    pub(crate) fn new(what: impl Into<String>) -> Self {
        let (state, what) = (Arc::new(State::default()), what.into());
        let shown = Arc::clone(&state);
        let display = thread::Builder::new().name("progress".to_owned()).spawn(move || show(&shown, &what));
        // Without a thread nothing is shown, and the work goes on.
        Self { state, display: display.ok() }
    }

    /// The function to which the work reports how much is done, and of how much: 0 as long as that is unknown. It may be called
    /// for each row.
    pub(crate) fn report(&self) -> impl Fn(u64, u64) + Clone + Send + Sync + 'static {
        let state = Arc::clone(&self.state);
        move |done, total| {
            state.done.store(done, Ordering::Relaxed);
            state.total.store(total, Ordering::Relaxed);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        *self.state.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.state.end.notify_all();
        if let Some(display) = self.display.take() {
            // It has nothing to report but a panic.
            let _ = display.join();
        }
    }
}

impl State {
    fn figures(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// Waits for the end of the work. False: it goes on after this time.
    fn has_ended_within(&self, time: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, _) =
            self.end.wait_timeout_while(ended, time, |ended| !*ended).unwrap_or_else(PoisonError::into_inner);
        *ended
    }
}

fn show(state: &State, what: &str) {
    let began = Instant::now();
    if state.has_ended_within(SHOWN_AFTER) {
        return;
    }
    let terminal = ProgressDrawTarget::stderr();
    if terminal.is_hidden() {
        let mut lines = Lines::default();
        loop {
            let (done, total) = state.figures();
            if let Some(line) = lines.next(began.elapsed(), done, total) {
                eprintln!("{what}: {line}");
            }
            if state.has_ended_within(INTERVAL) {
                return;
            }
        }
    }
    draw(state, what, terminal, began.elapsed());
}

fn draw(state: &State, what: &str, terminal: ProgressDrawTarget, elapsed: Duration) {
    let bar = ProgressBar::with_draw_target(None, terminal).with_message(what.to_owned()).with_elapsed(elapsed);
    let style = |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let unknown = style("{spinner} {msg} {elapsed}");
    let known = style("{msg} [{wide_bar}] {percent} %, {eta} left").progress_chars("=> ");
    bar.set_style(unknown);
    loop {
        let (done, total) = state.figures();
        if total > 0 {
            if bar.length().is_none() {
                bar.set_style(known.clone());
            }
            bar.set_length(total);
            bar.set_position(done.min(total));
        }
        bar.tick();
        if state.has_ended_within(INTERVAL) {
            // The result follows in the same place.
            bar.finish_and_clear();
            return;
        }
    }
}

/// The lines of one work, and when each is due: after a tenth of it, but neither too soon after the last one nor too late.
#[derive(Default)]
struct Lines {
    last: Option<(Duration, u64)>,
}

impl Lines {
    fn next(&mut self, elapsed: Duration, done: u64, total: u64) -> Option<String> {
        let percent = (total > 0).then(|| u64::try_from(u128::from(done.min(total)) * 100 / u128::from(total)).ok());
        let percent = percent.flatten();
        if let Some((last, shown)) = self.last {
            let since = elapsed.saturating_sub(last);
            let is_further = percent.is_none_or(|percent| percent >= shown + 10);
            if since < LINES_APART_MIN || !is_further && since < LINES_APART_MAX {
                return None;
            }
        }
        self.last = Some((elapsed, percent.unwrap_or(0)));
        Some(match percent {
            Some(percent) => format!("{percent} %"),
            None if elapsed.as_secs() == 0 => "…".to_owned(),
            None => format!("{} s", elapsed.as_secs()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_after_a_tenth_or_a_minute_and_never_within_five_seconds() {
        let mut lines = Lines::default();
        let mut at = |seconds: u64, done| lines.next(Duration::from_secs(seconds), done, 200);
        assert_eq!(at(1, 2).as_deref(), Some("1 %"));
        assert_eq!(at(5, 100), None, "too soon");
        assert_eq!(at(6, 100).as_deref(), Some("50 %"));
        assert_eq!(at(60, 119), None, "less than a tenth");
        assert_eq!(at(61, 120).as_deref(), Some("60 %"));
        assert_eq!(at(121, 121).as_deref(), Some("60 %"), "a sign of life");
        assert_eq!(at(200, 300).as_deref(), Some("100 %"), "more than there was");
    }

    #[test]
    fn work_of_unknown_size_shows_its_time() {
        let mut lines = Lines::default();
        let mut at = |milliseconds| lines.next(Duration::from_millis(milliseconds), 7, 0);
        assert_eq!(at(500).as_deref(), Some("…"));
        assert_eq!(at(5_400), None);
        assert_eq!(at(5_500).as_deref(), Some("5 s"));
        assert_eq!(lines.next(Duration::from_secs(11), u64::MAX, u64::MAX).as_deref(), Some("100 %"));
    }

    #[test]
    fn short_work_ends_at_once() {
        let began = Instant::now();
        let progress = Progress::new("counting");
        progress.report()(1, 2);
        assert_eq!(progress.state.figures(), (1, 2));
        drop(progress);
        assert!(began.elapsed() < SHOWN_AFTER * 100, "the end wakes the display");
    }
}
