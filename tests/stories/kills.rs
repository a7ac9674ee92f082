//! The process is killed under load, repeatedly on the same data. The page cache survives it, so this tests no syncs
//! (see `power.rs`), but it includes the real operating system and disk.

use std::{
    env,
    time::{Duration, Instant},
};

use ondol_tests::{Lives, Load, TestResult, TestServer, disk::Chance};

const LOAD: Load = Load { windows: &[1, 8, 30], letters: 200, creates_rooms: true, deploys: false };

/// The number of kills; the environment may set another.
const KILLS: usize = 200;

/// When it stops in any case, unless the environment sets the number of kills: a machine may be busy.
const TIME_MAX: Duration = Duration::from_secs(20);

#[tokio::test]
async fn received_messages_survive_two_hundred_kills() -> TestResult {
    // The server rejects unknown variables that begin with ONDOL_.
    let asked = env::var("STORY_KILLS").ok().and_then(|kills| kills.parse::<usize>().ok());
    let (begun, mut chance) = (Instant::now(), Chance::new(9));
    let mut lives = Lives::begin(TestServer::setup().admin(), &LOAD).await?;
    let mut kills = 0;
    while kills < asked.unwrap_or(KILLS) && (asked.is_some() || kills < 10 || begun.elapsed() < TIME_MAX) {
        let heard = lives.heard() + 1 + usize::try_from(chance.below(100))?;
        lives.talk_until_heard(&LOAD, heard, async |server| server.signal("KILL")).await?;
        assert_eq!(lives.begin_again("STORY_KILL", kills).await?, []);
        lives.go_on().await?;
        kills += 1;
    }
    eprintln!("{kills} kills, {} messages received", lives.heard());
    Ok(())
}
