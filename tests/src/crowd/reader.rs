//! An independent reader of the database: it looks for messages that were heard a moment ago.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, Result};
use ondol_engines::Database;

use super::{Phase, Talk};
use crate::history::Sample;

/// It looks for one message in so many.
pub(super) const EVERY: usize = 40;

/// Looks for messages until the talk ends. While the database does not answer, none is looked for.
pub(super) async fn live(talk: &Talk, database: &Arc<Database>) -> Result<()> {
    let (mut fresh, mut phase) = (talk.fresh.subscribe(), talk.phase.subscribe());
    loop {
        tokio::select! {
            changed = fresh.changed() => changed?,
            ended = phase.wait_for(|phase| matches!(phase, Phase::Until(_) | Phase::Over)) => return ended.map(drop).context("no end"),
        }
        let Some((room, seq)) = *fresh.borrow_and_update() else { continue };
        let database = Arc::clone(database);
        let sql = format!("SELECT count(*) FROM message WHERE room = {room} AND seq = {seq}");
        if let Ok(count) = tokio::task::spawn_blocking(move || database.sql(&sql)).await? {
            talk.history.borrow_mut().samples.push(Sample { room, seq, found: count == "1" });
        }
    }
}

/// The last number of each room.
pub(super) fn last_numbers(database: &Database) -> Result<BTreeMap<u64, u64>> {
    let rows = database.sql("SELECT id, last_seq FROM room")?;
    let numbers = rows.lines().map(|row| {
        let (room, seq) = row.split_once('|').context("no number")?;
        Ok((room.parse()?, seq.parse()?))
    });
    numbers.collect()
}
