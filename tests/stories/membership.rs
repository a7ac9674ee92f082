//! Joins and leaves: counted by user, not by connection.

use ondol_tests::{TestResult, TestServer, User};

#[tokio::test]
async fn members_are_told_of_joins_and_leaves() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, User::named("u1").called("사용자명")).await?;
    let mut ben = server.join(room, "ben").await?;
    ann.expect_exactly(r#"{"type":"chat.user.join","username":"ben"}"#).await?;

    ann.leave().await?;
    ben.expect_exactly(r#"{"type":"chat.user.leave","username":"사용자명"}"#).await
}

#[tokio::test]
async fn a_second_tab_is_not_announced() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut ben = server.join(room, "ben").await?;
    ann.expect_join("ben").await?;

    let mut tab = server.open_tab(room, "ben").await?;
    tab.expect_nothing_before("from my other tab").await?;
    ann.expect_message("from my other tab").await?;
    ben.expect_message("from my other tab").await?;

    ben.leave().await?;
    tab.expect_nothing_before("one tab is left").await?;
    ann.expect_nothing_before_but("one tab is left", "I heard no leave").await?;

    tab.leave().await?;
    ann.expect_leave("ben").await
}

#[tokio::test]
async fn users_are_identified_by_id_and_not_by_name() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut one = server.join(room, User::named("u1").called("twin")).await?;
    let two = server.join(room, User::named("u2").called("twin")).await?;
    one.expect_join("twin").await?;
    two.leave().await?;
    one.expect_leave("twin").await
}

#[tokio::test]
async fn a_returning_user_joins_again() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    for _ in 0..3 {
        let ben = server.join(room, "ben").await?;
        ann.expect_join("ben").await?;
        ben.leave().await?;
        ann.expect_leave("ben").await?;
    }
    Ok(())
}

#[tokio::test]
async fn rooms_are_separate() -> TestResult {
    let server = TestServer::start().await?;
    let (here, there) = (server.create_room("here").await?, server.create_room("there").await?);
    let mut ann = server.join(here, "ann").await?;
    let mut elsewhere = server.join(there, "ann").await?;
    let mut ben = server.join(there, "ben").await?;

    ben.say("over there").await?;
    elsewhere.expect_join("ben").await?;
    elsewhere.expect_message("over there").await?;
    ben.expect_message("over there").await?;
    elsewhere.leave().await?;
    ben.expect_leave("ann").await?;
    ann.expect_nothing_before("quiet here").await?;
    Ok(())
}

#[tokio::test]
async fn a_new_tab_receives_only_new_messages() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    ann.say("before").await?;
    ann.expect_message("before").await?;
    let mut ben = server.join(room, "ben").await?;
    ben.expect_nothing_before("after").await?;
    Ok(())
}

#[tokio::test]
async fn many_tabs_at_once_are_one_join_and_one_leave() -> TestResult {
    let server = TestServer::start().await?;
    let room = server.create_room("lobby").await?;
    let mut ann = server.join(room, "ann").await?;
    let mut tabs = Vec::new();
    let opening: Vec<_> = (0..10).map(|_| server.open_tab(room, "ben")).collect();
    for tab in futures_util::future::join_all(opening).await {
        tabs.push(tab?);
    }
    ann.expect_join("ben").await?;
    ann.expect_nothing_before("one join").await?;
    futures_util::future::join_all(tabs.into_iter().map(ondol_tests::Client::leave)).await;
    ann.expect_leave("ben").await?;
    ann.expect_nothing_before("one leave").await?;
    Ok(())
}
