//! A line that fails at any byte of a conversation: after resuming, the view of each client equals the database.
//! `STORY_POINTS=all make stories` tries every byte.

use std::env;

use ondol_tests::{BadLine, Failure, Fault, Returning, TestResult, TestServer, Way};

/// How many bytes there are between two points that are tried.
const STEP: usize = 31;

/// What each of the two says.
const EACH: usize = 4;

/// One conversation in a room of its own. The line of one of the two fails. Returns how many bytes the line carried.
async fn converse(server: &TestServer, fault: Option<Fault>) -> TestResult<[usize; 2]> {
    let room = server.create_room("lobby").await?;
    let line = BadLine::to(server.address(), fault).await?;
    let (mut ann, mut ben) =
        (Returning::new(line.address(), room, "ann"), Returning::new(server.address(), room, "ben"));
    let of_ben = async {
        ben.turn().await?;
        for number in 1..=EACH {
            ben.say(&format!("벤 {number}")).await;
            ben.until_seen(number).await?;
        }
        // Nothing is held back for ever.
        line.release();
        ben.until_seen(2 * EACH).await
    };
    let of_ann = async {
        ann.turn().await?;
        for number in 1..=EACH {
            ann.say(&format!("앤 {number}")).await;
            ann.turn().await?;
        }
        ann.until_seen(2 * EACH).await
    };
    tokio::try_join!(of_ben, of_ann)?;

    let database = server.database()?;
    let mut query = database.prepare("SELECT seq, text FROM message WHERE room = ?1 ORDER BY seq")?;
    let stored =
        query.query_map([room.cast_signed()], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)))?;
    let stored = stored.collect::<Result<Vec<(u64, String)>, _>>()?;
    assert_eq!(stored.len(), 2 * EACH);
    assert_eq!((&ann.seen, &ben.seen), (&stored, &stored));
    assert_eq!((ann.unrecovered, ben.unrecovered), (0, 0));
    Ok(line.carried())
}

#[tokio::test]
async fn a_line_that_fails_anywhere_leaves_no_gap_in_a_clients_view() -> TestResult {
    let server = TestServer::setup().without_rate_limits().start().await?;
    let step = if env::var("STORY_POINTS").is_ok_and(|points| points == "all") { 1 } else { STEP };
    let [up, down] = converse(&server, None).await?;
    let mut points = 0;
    for (way, bytes) in [(Way::Up, up), (Way::Down, down)] {
        for failure in [Failure::Close, Failure::Reset, Failure::Hold] {
            for after in (0..bytes).step_by(step) {
                let slice = [1, 7, usize::MAX][after % 3];
                let fault = Fault { way, after, failure, slice };
                converse(&server, Some(fault)).await.map_err(|error| error.context(format!("{fault:?}")))?;
                points += 1;
            }
        }
    }
    eprintln!("{points} failures in {up} bytes up and {down} bytes down");
    Ok(())
}
