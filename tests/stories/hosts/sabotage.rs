//! The checks of `ondol_commit`, taken out of the database: the fault that each of them is there for then leads to something
//! that the checker finds. With the check, the same fault leads to nothing.

use std::{cell::RefCell, collections::BTreeSet};

use anyhow::ensure;
use ondol_tests::{Act, Cut, History, Hosts, Open, Rule, TestResult, Witness, until};

/// A check of a batch.
#[derive(Clone, Copy)]
enum Check {
    /// The host is not declared dead.
    State,
    /// It writes over its current connection.
    Session,
    /// It is the home of the room.
    Home,
    /// The messages follow the last one of the room.
    LastSeq,
}

impl Check {
    fn condition(self) -> &'static str {
        match self {
            Self::State => " AND h.state IN ('live', 'draining')",
            Self::Session => " AND h.session = ses",
            Self::Home => " AND r.host IS NOT DISTINCT FROM me",
            Self::LastSeq => " AND r.last_seq = b.f - 1",
        }
    }
}

/// Takes checks out of the function that stores batches.
fn take_out(hosts: &Hosts, checks: &[Check]) -> TestResult {
    let mut function = hosts.database().sql("SELECT pg_get_functiondef('ondol_commit'::regproc)")?;
    for condition in checks.iter().map(|check| check.condition()) {
        ensure!(function.matches(condition).count() == 1, "{condition:?} in {function}");
        function = function.replace(condition, "");
    }
    hosts.database().sql(&function).map(drop)
}

/// The rules that do not hold. What was found is printed.
fn broken(hosts: &Hosts, history: &RefCell<History>, scene: &str) -> TestResult<BTreeSet<Rule>> {
    let found = hosts.check(&history.borrow())?;
    found.iter().for_each(|violation| eprintln!("{scene}: {violation}"));
    Ok(found.iter().map(|violation| violation.rule).collect())
}

/// Waits until the database answers this.
async fn until_sql(hosts: &Hosts, sql: &str, answer: &str) -> TestResult {
    until(sql, async || hosts.database().sql(sql).is_ok_and(|found| found == answer).then_some(())).await
}

/// A home is cut off from PostgreSQL. A batch of its, on its way since then, arrives when another host is the home.
async fn a_batch_of_a_home_of_before(taken_out: &[Check], scene: &str) -> TestResult<Option<BTreeSet<Rule>>> {
    let Some(mut hosts) = Hosts::start_on_wires(2).await? else { return Ok(None) };
    let (history, at) = (RefCell::default(), hosts.addresses());
    let room = hosts.server(0).create_room("lobby").await?;
    let mut ann = Witness::enter(&history, &at[0], room, "ann").await?;
    let mut ben = Witness::enter(&history, &at[1], room, "ben").await?;
    ann.say("first").await;
    ann.hear("first").await?;
    ben.hear("first").await?;
    assert_eq!(hosts.home(room).await?, 0);
    take_out(&hosts, taken_out)?;

    hosts.cut(0, Cut::Store, true)?;
    ann.say("late").await;
    hosts.store_wire(0)?.holds(b"late").await?;
    until("another home", async || (hosts.home_of(room).ok()?? == "b").then_some(())).await?;
    hosts.cut(0, Cut::Store, false)?;
    hosts.exit(0).await?;
    while !matches!(ann.next().await?, Act::Ended) {}
    for text in ["next", "last"] {
        ben.say(text).await;
        ben.outcome().await?;
    }
    broken(&hosts, &history, scene).map(Some)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_batch_of_a_home_of_before_is_refused_by_its_state_and_by_the_rooms_home() -> TestResult {
    for (taken_out, scene) in [(vec![], "whole"), (vec![Check::State], "no state"), (vec![Check::Home], "no home")] {
        let Some(broken) = a_batch_of_a_home_of_before(&taken_out, scene).await? else { return Ok(()) };
        assert_eq!(broken, BTreeSet::new(), "{scene}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_batch_of_a_home_of_before_is_found_without_both_checks() -> TestResult {
    let taken_out = [Check::State, Check::Home];
    let Some(broken) = a_batch_of_a_home_of_before(&taken_out, "neither").await? else { return Ok(()) };
    // It takes the number that the new home gives next, so that those who hear that one never hear it.
    assert_eq!(broken, BTreeSet::from([Rule::EachOnceInOrder]));
    Ok(())
}

/// A connection is lost with a batch on its way, which arrives when the host has found that it is not stored.
async fn a_batch_of_a_connection_of_before(taken_out: &[Check], scene: &str) -> TestResult<Option<BTreeSet<Rule>>> {
    let Some(hosts) = Hosts::alone_on_wire().await? else { return Ok(None) };
    let (history, at) = (RefCell::default(), hosts.addresses());
    let room = hosts.server(0).create_room("lobby").await?;
    let mut ann = Witness::enter(&history, &at[0], room, "ann").await?;
    ann.say("first").await;
    ann.hear("first").await?;
    take_out(&hosts, taken_out)?;

    let (wire, waiting) = (hosts.store_wire(0)?, "FROM pg_stat_activity WHERE datname = current_database()");
    let waiting =
        |query: &str| format!("SELECT count(*) {waiting} AND query LIKE '{query}' AND wait_event_type = 'Lock'");
    // The first that waits for the row of the host gets it first.
    let row = hosts.database().hold("SELECT FROM host FOR UPDATE")?;
    let (stranded, ()) = futures_util::future::join(wire.strand(b"late"), ann.say("late")).await;
    until_sql(&hosts, &waiting("UPDATE host SET session%"), "1").await?;
    stranded?.arrive();
    until_sql(&hosts, &waiting("SELECT ondol_commit%"), "1").await?;
    // What the host sends again comes last.
    wire.set(Open { up: false, down: true });
    drop(row);
    until_sql(&hosts, "SELECT session > 2 FROM host", "t").await?;
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                AND query LIKE 'SELECT ondol_commit%'";
    until_sql(&hosts, busy, "0").await?;
    wire.set(Open { up: true, down: true });
    ann.outcome().await?;
    ann.say("last").await;
    ann.outcome().await?;
    broken(&hosts, &history, scene).map(Some)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_batch_of_an_earlier_connection_is_refused() -> TestResult {
    let Some(broken) = a_batch_of_a_connection_of_before(&[], "whole").await? else { return Ok(()) };
    assert_eq!(broken, BTreeSet::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_batch_of_an_earlier_connection_is_found_without_the_check_of_the_session() -> TestResult {
    let Some(broken) = a_batch_of_a_connection_of_before(&[Check::Session], "no session").await? else {
        return Ok(());
    };
    // It is stored, and then refused when it is sent again, so that its number is never heard.
    assert_eq!(broken, BTreeSet::from([Rule::EachOnceInOrder, Rule::OnceStored]));
    Ok(())
}

/// The database loses messages that it had stored, as a standby does that was behind, and the connection does not notice.
async fn a_database_that_goes_back(taken_out: &[Check], scene: &str) -> TestResult<Option<BTreeSet<Rule>>> {
    let Some(hosts) = Hosts::alone_on_wire().await? else { return Ok(None) };
    let (history, at) = (RefCell::default(), hosts.addresses());
    let room = hosts.server(0).create_room("lobby").await?;
    let mut ann = Witness::enter(&history, &at[0], room, "ann").await?;
    for text in ["first", "second", "third"] {
        ann.say(text).await;
        ann.hear(text).await?;
    }
    take_out(&hosts, taken_out)?;
    hosts.database().sql("DELETE FROM message WHERE seq > 1; UPDATE room SET last_seq = 1")?;
    ann.say("late").await;
    ann.outcome().await?;
    broken(&hosts, &history, scene).map(Some)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_has_gone_back_gets_no_hole() -> TestResult {
    let Some(broken) = a_database_that_goes_back(&[], "whole").await? else { return Ok(()) };
    assert_eq!(broken, BTreeSet::from([Rule::Stored]), "what PostgreSQL has lost is lost");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_is_found_without_the_check_of_the_last_number() -> TestResult {
    let Some(broken) = a_database_that_goes_back(&[Check::LastSeq], "no last_seq").await? else { return Ok(()) };
    assert_eq!(broken, BTreeSet::from([Rule::NoHole, Rule::Stored]));
    Ok(())
}
