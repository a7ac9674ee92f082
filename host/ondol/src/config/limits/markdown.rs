//! The tables of limits as docs/limits.md shows them, and their order.

use std::fmt::Write as _;

use super::{Limit, Limits};
use crate::config::Applies;

/// The title of those that matter first.
const FIRST_TITLE: &str = "The ten that matter first";

impl Limits {
    /// The limits that an operator looks at first.
    const FIRST: [&str; 10] = [
        "connections_max",
        "connections_per_user_max",
        "frame_bytes_max",
        "messages_per_user_per_min",
        "messages_per_user_burst",
        "ping_interval_ms",
        "handler_deadline_ms",
        "probation_ms",
        "messages_kept_days",
        "drain_ms",
    ];

    /// All limits: those that matter first, then the others by what they protect.
    pub(in crate::config) fn groups() -> Vec<(&'static str, Vec<&'static Limit>)> {
        let first = Self::FIRST.iter().filter_map(|name| Self::TABLE.iter().find(|limit| limit.name == *name));
        let mut groups = vec![(FIRST_TITLE, first.collect::<Vec<_>>())];
        for limit in Self::TABLE.iter().filter(|limit| !Self::FIRST.contains(&limit.name)) {
            match groups.last_mut() {
                Some((title, limits)) if *title == limit.group => limits.push(limit),
                _ => groups.push((limit.group, vec![limit])),
            }
        }
        groups
    }

    /// The tables of limits in Markdown, as docs/limits.md contains them.
    #[must_use]
    pub fn markdown() -> String {
        let mut tables = String::new();
        for (title, limits) in Self::groups() {
            // Writing to a String cannot fail.
            let _ = write!(
                tables,
                "## {title}\n\n| limit | default | unit | reload | what it bounds |\n|---|---:|---|---|---|\n"
            );
            for limit in limits {
                let Limit { name, default, unit, doc, .. } = limit;
                let also = if Self::OF_EACH_HANDLER.contains(name) { " Can be set per handler." } else { "" };
                let default = limit.measure().show(*default);
                let applies = if limit.applies == Applies::Live { "live" } else { "" };
                let _ = writeln!(tables, "| `{name}` | {default} | {unit} | {applies} | {}{also} |", doc.trim());
            }
            tables.push('\n');
        }
        tables
    }
}
