//! Every trouble of three hosts in network namespaces, alone and in pairs: `make cluster`. Takes root, nftables and faketime.

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use ondol_tests::{
    Cut, Hosts, TestResult, Trouble,
    disk::Chance,
    troubles::{Trial, crowd},
};

use super::partitions::rooms;

/// A number that the environment names.
fn number(name: &str, default: u64) -> TestResult<u64> {
    env::var(name).map_or(Ok(default), |text| text.parse().with_context(|| format!("{name} is no number")))
}

/// Hosts of their own, which have these troubles for a time. Returns whether such hosts can be.
async fn trial(troubles: &[(Trouble, usize)], time: Duration, healed: Duration) -> TestResult<bool> {
    let Some(mut hosts) = Hosts::start_in_network(3).await? else { return Ok(false) };
    let rooms = rooms(&hosts, 12).await?;
    let mut crowd = crowd(&hosts, &rooms, 60);
    let trial = Trial { troubles: troubles.to_vec(), time, healed };
    let talked = crowd.talk(async |talk| trial.endure(&mut hosts, talk, &rooms).await).await;
    // What is wrong with the history may be why they do not go on.
    let found = hosts.check(&crowd.history())?;
    found.iter().for_each(|found| eprintln!("{troubles:?}: {found}"));
    talked?;
    ensure!(found.is_empty(), "{} violations", found.len());
    let (heard, looked_for) = (crowd.history().heard(), crowd.history().samples.len());
    eprintln!("{troubles:?}: {heard} messages, {looked_for} of them looked for in the database");
    ensure!(looked_for > 0, "no message was looked for in the database");
    if troubles.iter().any(|(trouble, _)| matches!(trouble, Trouble::ClockAhead | Trouble::ClockBehind)) {
        let differ: i64 =
            hosts.database().sql("SELECT (max(created_at) - min(created_at)) / 1000 FROM message")?.parse()?;
        ensure!(differ > 3_000, "clocks that are an hour off differ by {differ} s");
    }
    Ok(true)
}

/// One trial after the other, each for `STORY_SECONDS`. All run, and those that fail are named.
async fn trials(all: impl IntoIterator<Item = Vec<(Trouble, usize)>>) -> TestResult {
    let (time, healed) = (Duration::from_secs(number("STORY_SECONDS", 15)?), Duration::from_secs(5));
    let mut failed = Vec::new();
    for troubles in all {
        let begun = Instant::now();
        match trial(&troubles, time, healed).await {
            Ok(true) => eprintln!("{troubles:?}: fine, after {} s", begun.elapsed().as_secs()),
            Ok(false) => return Ok(()),
            Err(error) => {
                eprintln!("{troubles:?}: {error:#}");
                failed.push(troubles);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    Ok(())
}

#[tokio::test]
async fn lost_frames_clocks_that_differ_and_a_cable_that_is_pulled_lose_and_double_nothing() -> TestResult {
    let all = [
        vec![(Trouble::Cut(Cut::SomeFrames), 0), (Trouble::ClockAhead, 1), (Trouble::ClockBehind, 2)],
        vec![(Trouble::Cut(Cut::All), 0)],
    ];
    for troubles in all {
        // Other stories run at the same time.
        if !trial(&troubles, Duration::from_secs(5), Duration::from_secs(15)).await? {
            break;
        }
    }
    Ok(())
}

/// A story for each trouble alone, of this host.
macro_rules! alone {
    ($($name:ident: $trouble:expr, $host:literal;)*) => {
        $(#[tokio::test]
        #[ignore = "half a minute: make cluster"]
        async fn $name() -> TestResult {
            trials([vec![($trouble, $host)]]).await
        })*
    };
}

alone! {
    alone_a_host_is_killed: Trouble::Killed, 0;
    alone_a_host_is_frozen: Trouble::Frozen, 1;
    alone_a_host_is_cut_off_from_all: Trouble::Cut(Cut::All), 2;
    alone_a_host_is_cut_off_from_postgresql: Trouble::Cut(Cut::Store), 0;
    alone_a_host_is_cut_off_from_nats: Trouble::Cut(Cut::Bus), 1;
    alone_a_host_hears_nothing: Trouble::Cut(Cut::Incoming), 2;
    alone_a_host_is_not_heard: Trouble::Cut(Cut::Outgoing), 0;
    alone_a_host_loses_frames: Trouble::Cut(Cut::SomeFrames), 1;
    alone_nats_is_away: Trouble::NoBus, 0;
    alone_nats_is_restarted: Trouble::BusRestarts, 0;
    alone_postgresql_is_restarted: Trouble::StoreRestarts, 0;
    alone_postgresql_is_slow: Trouble::SlowStore, 0;
    alone_a_clock_is_ahead: Trouble::ClockAhead, 1;
    alone_a_clock_is_behind: Trouble::ClockBehind, 2;
    alone_a_second_host_of_a_name: Trouble::Namesake, 0;
}

/// `STORY_PAIRS` of them, drawn from `STORY_SEED`.
#[tokio::test]
#[ignore = "minutes: make cluster"]
async fn pairs_of_troubles() -> TestResult {
    let mut pairs = Trouble::pairs();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let (seed, count) = (number("STORY_SEED", now)?, number("STORY_PAIRS", 15)?);
    eprintln!("STORY_SEED={seed} STORY_PAIRS={count}, of {}", pairs.len());
    let mut chance = Chance::new(seed);
    let mut below = |end: usize| usize::try_from(chance.below(end as u64)).unwrap_or_default();
    let mut drawn = Vec::new();
    while !pairs.is_empty() && (drawn.len() as u64) < count {
        let [one, other] = pairs.swap_remove(below(pairs.len()));
        let host = below(3);
        drawn.push(vec![(one, host), (other, (host + 1 + below(2)) % 3)]);
    }
    trials(drawn).await
}
