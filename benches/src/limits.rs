//! The limits on rates, raised so far that no load meets them: a benchmark says more than any person. Asks a binary which
//! limits it has, so that an older one is given none that it does not know.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use ondol::config::Limits;

/// More than any load asks for.
const RATE: u64 = 1_000_000;

/// The flags that raise the rates of this binary.
///
/// Errors when it does not list its limits.
pub(crate) fn raised_rates(binary: &Path) -> anyhow::Result<Vec<String>> {
    let listed = Command::new(binary).args(["check", "--limits"]).stdin(Stdio::null()).output();
    let listed = listed.with_context(|| format!("cannot start {}: has it been built?", binary.display()))?;
    ensure!(listed.status.success(), "{} check --limits: {}", binary.display(), listed.status);
    let table = String::from_utf8(listed.stdout).context("the table of limits is no text")?;
    let names = rates(&table);
    Ok(names.into_iter().flat_map(|name| ["--limit".to_owned(), format!("{name}={}", raised(name))]).collect())
}

/// The names of the limits whose unit is a rate, in a table of limits as Markdown.
fn rates(table: &str) -> Vec<&str> {
    let is_rate = |unit: &str| unit.contains("a second") || unit.contains("a minute");
    rows(table).filter(|(_, unit)| is_rate(unit)).map(|(name, _)| name).collect()
}

/// Each limit's name and unit.
fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    table.lines().skip(2).filter_map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let (name, _default, unit) = (cells.next()?, cells.next()?, cells.next()?);
        Some((name.trim_matches('`'), unit))
    })
}

fn raised(name: &str) -> u64 {
    Limits::TABLE.iter().find(|limit| limit.name == name).map_or(RATE, |limit| limit.max.min(RATE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_known_by_their_unit() {
        let table = "| limit | default | unit | what it bounds |\n|---|---:|---|---|\n\
                     | `frame_bytes_max` | 65,536 | bytes | A frame. |\n\
                     | `messages_rate_max` | 50 | messages a second, a connection | What is read. |\n\
                     | `rooms_rate_max` | 60 | rooms a minute | What is created. |\n\
                     | `pong_ms_max` | 10,000 | ms | Longer than a second. |\n";
        assert_eq!(rates(table), ["messages_rate_max", "rooms_rate_max"]);
    }

    #[test]
    fn every_row_of_the_table_is_read() {
        let table = Limits::markdown();
        let listed: Vec<_> = rows(&table).collect();
        let held: Vec<_> = Limits::TABLE.iter().map(|limit| (limit.name, limit.unit)).collect();
        assert_eq!(listed, held);
    }
}
