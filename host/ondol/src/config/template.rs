//! A configuration file with everything that can be set, commented out.

use std::fmt::Write as _;

use super::identity::IdentityConfig;
use super::limits::{Limit, Limits};
use super::table::Row;
use super::{Applies, Config};

/// The width of the file.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Configuration of Ondol. Every setting is commented out and shows its default, so this file changes
# nothing: remove the # in front of what you set.
#
# Environment variables (ONDOL_LISTEN, ONDOL_FRAME_BYTES_MAX, ...) and flags override this file.
# What is marked \"Live\" changes with a reload: `ondol handlers reload`, or SIGHUP. `ondol check
# --config FILE` checks it, and `ondol config show --config FILE` shows what is in force.
";

const FAILURE: &str = "
# Who answers when a handler fails: \"refuse\" reports the failure, \"default\" lets the built-in handler answer.
[failure]
#rooms = \"refuse\"
#messages = \"refuse\"
#events = \"refuse\"
";

const LIMITS: &str = "
# Sizes take B, KiB, MiB and GiB, times take ms, s, min, h and d; a number alone is in the unit that the name has.
# A limit of one handler goes into [limits.messages], [limits.rooms] or [limits.events].
[limits]
";

/// The settings of the default handlers: handler, key, default, and the values that it takes. docs/handlers.md has them as well.
pub(super) const SETTINGS: [(&str, &str, &str, &str); 5] = [
    ("rooms", "name_length_max", "100", "characters after trimming, 1 to 100"),
    ("rooms", "default_name", "\"새로운 채팅방\"", "the name of a room created without one"),
    ("rooms", "post_has_room", "\"reuse\"", "`reuse` answers with the post's existing room; `refuse` refuses"),
    ("messages", "text_length_max", "2000", "characters after trimming, 1 to 1,000,000"),
    ("events", "announce", "\"joins_and_leaves\"", "`joins_and_leaves` or `nothing`"),
];

/// The text of the file.
#[must_use]
pub fn template() -> String {
    let config = Config::default();
    let mut file = HEAD.to_owned();
    rows(&mut file, Config::ROWS, &config.values());
    file.push_str("\n# How the server knows who calls: see docs/identity.md.\n[identity]\n");
    rows(&mut file, IdentityConfig::ROWS, &config.identity.values());
    file.push_str(FAILURE);
    file.push_str(LIMITS);
    for (title, limits) in Limits::groups() {
        let _ = write!(file, "\n# ── {title}\n");
        limits.into_iter().for_each(|row| limit(&mut file, row));
    }
    file.push_str("\n# What handlers read as their settings, live. These are those of the default handlers.\n");
    let mut last = "";
    for (handler, key, default, takes) in SETTINGS {
        if handler != last {
            let _ = write!(file, "\n[settings.{handler}]\n");
        }
        last = handler;
        let _ = writeln!(file, "# {}. Default: {default}\n# {key} = {default}", takes.replace('`', "\""));
    }
    file
}

fn rows(file: &mut String, rows: &[Row], values: &[Option<String>]) {
    for (row, value) in rows.iter().zip(values) {
        file.push('\n');
        paragraph(file, &format!("{} Takes {}.{}", row.doc.trim(), row.takes, live(row.applies)));
        let _ = match value {
            Some(value) => writeln!(file, "#{} = {value}", row.name),
            None => writeln!(file, "# {} = (none)", row.name),
        };
    }
}

fn limit(file: &mut String, limit: &Limit) {
    let measure = limit.measure();
    let of_each = if Limits::OF_EACH_HANDLER.contains(&limit.name) { " Can be set per handler." } else { "" };
    let [min, max] = [limit.min, limit.max].map(|bound| measure.show(bound));
    file.push('\n');
    paragraph(file, &format!("{}{of_each} {min} to {max} ({}).{}", limit.doc.trim(), limit.unit, live(limit.applies)));
    let _ = writeln!(file, "#{} = {}", limit.name, measure.toml(limit.default));
}

fn live(applies: Applies) -> &'static str {
    match applies {
        Applies::Live => " Live.",
        Applies::Restart => "",
    }
}

/// A comment, broken into lines.
fn paragraph(file: &mut String, text: &str) {
    let mut line = "#".to_owned();
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(file, "{line}");
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(file, "{line}");
}
