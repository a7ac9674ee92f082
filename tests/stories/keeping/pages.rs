//! Pages of history in both directions, while others write and an operator deletes.

use std::{cell::Cell, collections::BTreeSet};

use ondol_tests::{TestResult, TestServer};

use super::{delete, say_all, seqs};

/// Messages before the walk, and those that are said meanwhile.
const BEFORE: u64 = 120;
const MEANWHILE: u64 = 150;

/// Whether a message is deleted: long stretches, so that whole pages vanish, and single ones.
fn goes(seq: u64) -> bool {
    (20..80).contains(&seq) || seq.is_multiple_of(7)
}

/// Walks through all pages in one direction, and returns what it saw.
async fn walk(server: &TestServer, room: u64, forward: bool) -> TestResult<Vec<u64>> {
    let mut seen: Vec<u64> = Vec::new();
    loop {
        let query = match seen.last() {
            None if forward => "?after=0&limit=5".to_owned(),
            None => "?limit=5".to_owned(),
            Some(last) if forward => format!("?after={last}&limit=5"),
            Some(last) => format!("?before={last}&limit=5"),
        };
        let mut page = seqs(server, room, &query).await?;
        assert!(page.is_sorted_by(|one, next| one < next), "{page:?}");
        if !forward {
            page.reverse();
        }
        let follows = |next: &u64| seen.last().is_none_or(|last| if forward { next > last } else { next < last });
        assert!(page.iter().all(follows), "{page:?} after {:?}", seen.last());
        if page.is_empty() {
            return Ok(seen);
        }
        seen.append(&mut page);
    }
}

#[tokio::test]
async fn no_page_misses_what_stays() -> TestResult {
    let server = TestServer::setup().without_rate_limits().admin().start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    say_all(&mut ann, (1..=BEFORE).map(|number| number.to_string())).await?;
    let (said, done) = (Cell::new(BEFORE), Cell::new(0));
    let talking = async {
        let mut ben = server.open_tab(room, "ben").await?;
        while said.get() < BEFORE + MEANWHILE {
            let text = (said.get() + 1).to_string();
            ben.say(&text).await?;
            while ben.next_json().await?["message"] != text.as_str() {}
            said.set(said.get() + 1);
        }
        done.set(done.get() + 1);
        anyhow::Ok(())
    };
    let deleting = async {
        for seq in (1..=BEFORE).filter(|seq| goes(*seq)) {
            delete(&server, room, seq).await?.expect(200)?;
        }
        done.set(done.get() + 1);
        anyhow::Ok(())
    };
    let reading = async {
        let mut walks = 0;
        loop {
            let was_done = done.get() == 2;
            for forward in [true, false] {
                let before = said.get();
                let seen: BTreeSet<u64> = walk(&server, room, forward).await?.into_iter().collect();
                let missed = (1..=before).find(|seq| !seen.contains(seq) && (*seq > BEFORE || !goes(*seq)));
                assert_eq!(missed, None, "{seen:?}");
                if was_done {
                    let back = seen.iter().find(|seq| **seq <= BEFORE && goes(**seq));
                    assert_eq!(back, None, "a deleted message is shown");
                }
            }
            walks += 1;
            if was_done {
                return anyhow::Ok(walks);
            }
        }
    };
    let (_, _, walks) = tokio::try_join!(talking, deleting, reading)?;
    assert!(walks > 1);
    for query in ["?after=19&limit=3", "?before=84&limit=3", "?after=0&limit=20"] {
        let page = seqs(&server, room, query).await?;
        let expected: Vec<u64> = match query {
            "?after=19&limit=3" => vec![80, 81, 82],
            "?before=84&limit=3" => vec![81, 82, 83],
            _ => (1..).filter(|seq| !goes(*seq)).take(20).collect(),
        };
        assert_eq!(page, expected, "{query}");
    }
    Ok(())
}
