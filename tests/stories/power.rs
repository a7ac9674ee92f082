//! Power cuts lose nothing that a client was told: on a disk that keeps durable content apart from written content. A
//! seed decides where each cut falls and what it leaves; a failure prints its plan, and `STORY_SEED=n make stories`
//! sets another seed.

use std::{env, fs};

use ondol_tests::{
    Difference, Lives, Load, Setup, TestResult, TestServer,
    disk::{CUT_STATUS, Chance, Kind, Place, Plan, Rule, VARIABLE},
};

/// Nothing fails before this file exists in the server's directory.
const NOW: &str = "now";

const QUIET: Load = Load { windows: &[1], letters: 10, creates_rooms: false, deploys: false };
const BUSY: Load = Load { windows: &[1, 8, 30], letters: 200, creates_rooms: true, deploys: false };
const DEPLOYS: Load = Load { windows: &[], letters: 0, creates_rooms: false, deploys: true };
/// Messages that fill the log quickly.
const LARGE: Load = Load { windows: &[1], letters: 30_000, creates_rooms: false, deploys: false };

pub(super) fn on_test_disk(plan: &Plan) -> Setup {
    let setup = TestServer::setup().admin().binary(env!("CARGO_BIN_EXE_ondol-on-test-disk"));
    setup.setting("messages", "text_length_max", 60_000).env(VARIABLE, plan)
}

/// The seed of a story; the environment may set another.
fn seeded(default: u64) -> Chance {
    let seed = env::var("STORY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(default);
    eprintln!("STORY_SEED={seed}");
    Chance::new(seed)
}

/// A plan with one cut, at any of the first `operations` that concern `on`, once the file [`NOW`] is there.
fn cut(chance: &mut Chance, on: Place, operations: u64) -> Plan {
    let rule = Rule::new(Kind::Cut).on(on).at(1 + chance.below(operations)).after(NOW);
    Plan::seeded(chance.number()).sync_us(chance.below(300)).rule(rule)
}

/// Lets the clients talk until the power is cut.
async fn talk_until_the_cut(lives: &mut Lives, load: &Load) -> TestResult {
    lives.talk(load, async |server| Ok(fs::write(server.root().join(NOW), "")?)).await?;
    assert_eq!(lives.server.exit().await?.code(), Some(CUT_STATUS));
    Ok(fs::remove_file(lives.server.root().join(NOW))?)
}

/// Cuts the power of one server after the other on the same data.
async fn cuts(chance: &mut Chance, load: &Load, count: usize, on: Place, operations: u64) -> TestResult {
    let mut plan = cut(chance, on, operations);
    let mut lives = Lives::begin(on_test_disk(&plan), load).await?;
    for life in 0..count {
        eprintln!("life {life}: {plan}");
        talk_until_the_cut(&mut lives, load).await?;
        plan = cut(chance, on, operations);
        assert_eq!(lives.begin_again(VARIABLE, &plan).await?, []);
        lives.go_on().await?;
    }
    assert!(lives.told() > count / 2, "only {} answers were given", lives.told());
    Ok(())
}

#[tokio::test]
async fn seventy_cuts_in_one_quiet_room() -> TestResult {
    cuts(&mut seeded(1), &QUIET, 70, Place::Any, 100).await
}

#[tokio::test]
async fn seventy_cuts_in_busy_rooms() -> TestResult {
    cuts(&mut seeded(2), &BUSY, 70, Place::Any, 400).await
}

#[tokio::test]
async fn thirty_cuts_during_deploys() -> TestResult {
    cuts(&mut seeded(3), &DEPLOYS, 30, Place::Any, 150).await
}

#[tokio::test]
async fn ten_cuts_during_checkpoints() -> TestResult {
    // One takes about 2,000 operations: half of the cuts fall within the first, the others after one. A cut leaves the
    // log as long as it was, so most lives begin with a checkpoint.
    cuts(&mut seeded(4), &LARGE, 10, Place::Db, 4_000).await
}

#[tokio::test]
async fn twenty_cuts_during_a_first_start() -> TestResult {
    let mut chance = seeded(5);
    for _ in 0..20 {
        let plan = Plan::seeded(chance.number()).rule(Rule::new(Kind::Cut).at(1 + chance.below(200)));
        eprintln!("{plan}");
        let mut lives = Lives::begin(on_test_disk(&Plan::default()), &QUIET).await?;
        fs::remove_dir_all(lives.server.database_file().parent().unwrap())?;
        let failed = lives.server.restart_with(VARIABLE, &plan).await;
        assert!(failed.is_err(), "the power was not cut");
        lives.server.restart_with(VARIABLE, "").await?;
        lives.server.create_room("room 0").await?;
        lives.go_on().await?;
    }
    Ok(())
}

/// The differences after each of ten cuts, every one on data of its own.
async fn differences(
    setup: impl Fn(&Plan) -> Setup,
    chance: &mut Chance,
    rule: Option<Rule>,
) -> TestResult<Vec<Difference>> {
    let mut found = Vec::new();
    for _ in 0..10 {
        let mut plan = cut(chance, Place::Any, 100);
        plan.rules.extend(rule.clone());
        let mut lives = Lives::begin(setup(&plan), &BUSY).await?;
        talk_until_the_cut(&mut lives, &BUSY).await?;
        found.extend(lives.begin_again(VARIABLE, "").await?);
    }
    Ok(found)
}

#[tokio::test]
async fn skipped_syncs_lose_messages_in_a_cut() -> TestResult {
    // Syncs are skipped after the start only, so that there is a database.
    let skip = Rule::new(Kind::SkipSync).on(Place::Wal).after(NOW).always();
    let found = differences(on_test_disk, &mut seeded(6), Some(skip)).await?;
    assert!(found.iter().any(|difference| matches!(difference, Difference::Lost(_))), "nothing was lost: {found:?}");
    Ok(())
}

#[tokio::test]
async fn synchronous_normal_loses_messages_in_a_cut_and_corrupts_nothing() -> TestResult {
    let normal = |plan: &Plan| on_test_disk(plan).config(r#"synchronous = "normal""#);
    let found = differences(normal, &mut seeded(7), None).await?;
    let (lost, wrong): (Vec<_>, Vec<_>) = found.iter().partition(|found| matches!(found, Difference::Lost(_)));
    assert!(!lost.is_empty(), "nothing was lost, so commits wait for the disk");
    assert!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}

#[tokio::test]
async fn checkpoints_without_syncs_lose_messages_in_a_cut() -> TestResult {
    let mut chance = seeded(8);
    let mut found = Vec::new();
    for _ in 0..3 {
        // After the first checkpoint: the log restarts and overwrites messages that are only in the database then.
        let cut = Rule::new(Kind::Cut).on(Place::Db).at(3_000 + chance.below(1_000)).after(NOW);
        let skip = Rule::new(Kind::SkipSync).on(Place::Db).after(NOW).always();
        let plan = Plan::seeded(chance.number()).rule(cut).rule(skip);
        let mut lives = Lives::begin(on_test_disk(&plan), &LARGE).await?;
        talk_until_the_cut(&mut lives, &LARGE).await?;
        // The database may be so broken that the server does not start.
        match lives.begin_again(VARIABLE, "").await {
            Ok(differences) => found.extend(differences.iter().map(ToString::to_string)),
            Err(error) => found.push(format!("{error:#}")),
        }
    }
    assert!(!found.is_empty(), "no difference was found");
    Ok(())
}
