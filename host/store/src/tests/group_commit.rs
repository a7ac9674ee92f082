//! Group commit: who leads, who follows, and what a leader leaves behind.

use super::{commit, entry, open, room};

#[tokio::test]
async fn what_comes_while_one_commits_is_the_next_batch() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let mut leader = store.append(entry(1, room, 1)).unwrap().unwrap();
    assert_eq!(commit(&mut leader).stored.len(), 1);
    assert!(store.append(entry(2, room, 2)).unwrap().is_none(), "the leader has not stepped down");
    let mut leader = leader.step_down().unwrap();
    assert_eq!(commit(&mut leader).stored.len(), 1);
    assert!(leader.step_down().is_none());
    assert!(store.append(entry(3, room, 3)).unwrap().is_some(), "the next one leads");
}

#[tokio::test]
async fn a_leader_who_panics_leaves_the_lead_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let room = room(&store).await;
    let leader = store.append(entry(1, room, 1)).unwrap().unwrap();
    assert!(store.lead_the_rest().is_none(), "one leads");
    drop(leader);
    let mut leader = store.lead_the_rest().unwrap();
    assert!(store.append(entry(2, room, 2)).unwrap().is_none());
    assert_eq!(commit(&mut leader).stored.len(), 2);
    assert!(leader.step_down().is_none() && store.lead_the_rest().is_none());
}
