//! The older text format of Prometheus, which people and `promtool` read: the same lines, but a counter is called by the
//! name of its samples, and there are no units and no mark of the end.

use std::collections::HashSet;

/// The same metrics in the older format.
pub(super) fn plain(open_metrics: &str) -> String {
    let is_counter = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
    let counters: HashSet<String> = open_metrics.lines().filter_map(is_counter).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let about = ["# HELP ", "# TYPE "].into_iter().find_map(|about| Some((about, line.strip_prefix(about)?)));
        match about.and_then(|(about, rest)| Some((about, rest.split_once(' ')?))) {
            Some((about, (name, rest))) if counters.contains(name) => {
                text.extend([about, name, "_total ", rest, "\n"]);
            }
            _ if line.starts_with("# UNIT ") || line == "# EOF" => {}
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_called_by_the_name_of_their_samples() {
        let open = "# HELP a_seconds A time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1\n\
                    # HELP b B.\n# TYPE b gauge\nb{c=\"# EOF\"} 2\n# EOF\n";
        let expected = "# HELP a_seconds_total A time.\n# TYPE a_seconds_total counter\na_seconds_total 1\n\
                        # HELP b B.\n# TYPE b gauge\nb{c=\"# EOF\"} 2\n";
        assert_eq!(plain(open), expected);
    }
}
