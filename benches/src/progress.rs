//! How far a run is: lines on standard error, and below them a bar if that is a terminal.

use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

static BAR: LazyLock<ProgressBar> = LazyLock::new(|| {
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos} of {len}, {elapsed}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
});

/// Begins a run of so many measurements.
pub(crate) fn begin(measurements: usize) {
    BAR.set_length(measurements as u64);
    BAR.enable_steady_tick(Duration::from_millis(200));
}

/// Begins the next measurement.
pub(crate) fn next(name: &'static str) {
    // The first one ends nothing.
    if !BAR.message().is_empty() {
        BAR.inc(1);
    }
    BAR.set_message(name);
}

/// Removes the bar.
pub(crate) fn end() {
    BAR.finish_and_clear();
}

/// A line above the bar.
pub(crate) fn line(text: &str) {
    if BAR.is_hidden() { eprintln!("{text}") } else { BAR.println(text) }
}
