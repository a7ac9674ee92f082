//! How long a room pauses for those at other hosts when its home is killed, over several kills.

use std::{env, time::Duration, time::Instant};

use ondol_tests::{Crowd, Hosts, TestResult, until};

use super::check;

/// How many homes are killed, unless `STORY_KILLS` says so.
const KILLS: usize = 3;

/// Far more than it takes, since this machine may be busy.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Waits until a host that has just come may judge others.
async fn until_all_may_judge(hosts: &Hosts) -> TestResult {
    let now = hosts.database().sql("SELECT clock_timestamp()")?;
    let is_due = format!("SELECT clock_timestamp() - '{now}'::timestamptz > interval '4 s'");
    until("hosts that may judge", async || (hosts.database().sql(&is_due).ok()? == "t").then_some(())).await
}

#[tokio::test]
async fn a_room_whose_home_is_killed_pauses_for_a_moment() -> TestResult {
    let kills = env::var("STORY_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let Some(mut hosts) = Hosts::start(3).await? else { return Ok(()) };
    let room = hosts.server(0).create_room("one").await?;
    let mut crowd = Crowd::new(&hosts, &[room], 9);
    let mut killed = Vec::new();
    crowd
        .talk(async |talk| {
            for _ in 0..kills {
                until_all_may_judge(&hosts).await?;
                talk.go_on(20, 60).await?;
                let home = hosts.home(room).await?;
                killed.push((home, Instant::now()));
                hosts.kill(home).await?;
                talk.go_on(20, 60).await?;
                hosts.restart(home).await?;
            }
            Ok(())
        })
        .await?;
    let history = crowd.history();
    // Unless all were at the home by chance.
    let pauses = killed.iter().filter_map(|(home, at)| history.pause(room, hosts.name(*home), *at));
    let mut pauses: Vec<_> = pauses.collect();
    assert!(!pauses.is_empty(), "no one was at another host");
    pauses.sort_unstable();
    let (middle, longest) = (pauses[pauses.len() / 2], pauses[pauses.len() - 1]);
    eprintln!("pauses of {} kills: p50 {} ms, max {} ms", pauses.len(), middle.as_millis(), longest.as_millis());
    assert!(longest < PAUSE_MAX, "{pauses:?}");
    check(&hosts, &history)
}
