//! A drain with a server that takes over: every client comes back to it when it was asked to, with nothing lost, and the
//! database is read a few times for all of them. `STORY_DRAIN_SOCKETS=2000` for the full size, which prints its figures.

use std::{
    cell::Cell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use ondol_tests::{Client, Heard, TestResult, TestServer, User, http::Request, pause, until, within};
use serde_json::{Value, json};

use super::retry_after_ms;

/// Rooms of the story.
const ROOMS: u64 = 20;

/// How long one that talks waits before its next words: the load is that of the others who come back.
const TALK_EVERY: Duration = Duration::from_millis(20);

/// What the clients have in common.
struct Story {
    address: String,
    first_close: Cell<Option<Instant>>,
    last_back: Cell<Option<Instant>>,
    back: Cell<usize>,
}

/// A client of one room, over as many sockets as it takes.
struct Member<'a> {
    story: &'a Story,
    room: u64,
    user: User,
    /// Whether it resumes over its socket.
    resumes: bool,
    /// The text of each message that it has, by its number.
    view: BTreeMap<u64, String>,
    /// What it said and has not received.
    unanswered: Vec<String>,
}

impl<'a> Member<'a> {
    fn new(story: &'a Story, room: u64, number: u64) -> Self {
        let user = User::named(&format!("u{number}"));
        Self { story, room, user, resumes: number / ROOMS % 2 == 1, view: BTreeMap::new(), unanswered: Vec::new() }
    }

    /// Says something with an id of its own, so that a retry is stored once.
    async fn say(&self, client: &mut Client, text: &str) -> TestResult {
        client.send(json!({"type": "chat.message", "message": text, "client_id": text}).to_string()).await
    }

    fn take(&mut self, message: &Value) -> TestResult {
        let seq = message["seq"].as_u64().context("no seq")?;
        let text = message["message"].as_str().context("no text")?.to_owned();
        self.unanswered.retain(|said| *said != text);
        let known = self.view.insert(seq, text.clone());
        anyhow::ensure!(known.is_none_or(|known| known == text), "two messages with the number {seq}");
        Ok(())
    }

    /// Opens a socket, and receives what it missed: every second client over the socket, the others by request.
    async fn enter(&mut self) -> TestResult<Client> {
        let after = self.view.keys().next_back().copied().unwrap_or(0);
        let resume = if self.resumes { format!("&after={after}") } else { String::new() };
        let target = format!("/ws/chat/{}/chat/?{}{resume}", self.room, self.user.query());
        let knock =
            async || Client::knock(&self.story.address, &target, &self.user.nickname, &[]).await.ok()?.opened().ok();
        let mut client = until("the next server", knock).await?;
        if !self.resumes {
            while self.read_page().await? {}
            return Ok(client);
        }
        let sync = client.expect_event("chat.sync").await?;
        anyhow::ensure!(sync["recovered"] == true, "{sync}");
        while self.view.keys().next_back().copied().unwrap_or(0) < sync["seq"].as_u64().context("no seq")? {
            let text = client.next_text().await?;
            self.hear(&text)?;
        }
        Ok(client)
    }

    /// Reads the page after what it has. False: there is none.
    async fn read_page(&mut self) -> TestResult<bool> {
        let after = self.view.keys().next_back().copied().unwrap_or(0);
        let target = format!("/chat/v1/room/{}/messages/?after={after}&limit=200", self.room);
        let page = Request::new(&self.story.address, "GET", &target).send().await?.expect(200)?;
        let page = page.as_array().context("no page")?;
        page.iter().try_for_each(|message| self.take(message))?;
        Ok(!page.is_empty())
    }

    /// Talks, if it is one that does, until the server closes; then comes back when it was asked to, and reads until `end`.
    async fn live(mut self, talks: bool, all: usize, end: &str) -> TestResult<BTreeMap<u64, String>> {
        let mut client = self.enter().await?;
        self.story.back.set(self.story.back.get() + 1);
        let mut said = 0;
        let reason = loop {
            if talks && self.unanswered.is_empty() {
                pause(TALK_EVERY).await;
                let text = format!("{} {said}", self.user.nickname);
                said += 1;
                self.unanswered.push(text.clone());
                // The server may have closed meanwhile.
                let _ = self.say(&mut client, &text).await;
            }
            match client.next().await? {
                Heard::Text(text) => self.hear(&text)?,
                Heard::Close(1001, reason) => break reason,
                Heard::Ping | Heard::Pong(_) => {}
                other => anyhow::bail!("{} got {other:?}", self.user.nickname),
            }
        };
        self.story.first_close.set(self.story.first_close.get().or(Some(Instant::now())));
        pause(Duration::from_millis(retry_after_ms(&reason)?)).await;
        let mut client = self.enter().await?;
        for text in self.unanswered.clone() {
            self.say(&mut client, &text).await?;
        }
        self.story.last_back.set(Some(Instant::now()));
        self.story.back.set(self.story.back.get() + 1);
        if talks {
            until("all clients", async || (self.story.back.get() == 2 * all).then_some(())).await?;
            self.unanswered.push(end.to_owned());
            self.say(&mut client, end).await?;
        }
        while !self.unanswered.is_empty() || !self.view.values().any(|text| text == end) {
            let text = client.next_text().await?;
            self.hear(&text)?;
        }
        Ok(self.view)
    }

    fn hear(&mut self, text: &str) -> TestResult {
        let frame: Value = serde_json::from_str(text)?;
        if frame["type"] == "chat.message" { self.take(&frame) } else { Ok(()) }
    }
}

fn sockets() -> u64 {
    std::env::var("STORY_DRAIN_SOCKETS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

#[tokio::test]
async fn every_client_comes_back_to_the_next_server() -> TestResult {
    let setup = TestServer::setup().without_rate_limits().admin().limit("drain_ms", 2_000);
    let mut server = setup.start().await?;
    for number in 0..ROOMS {
        server.create_room(&format!("room {number}")).await?;
    }
    let all = usize::try_from(sockets())?;
    let (first_close, last_back, back) = Default::default();
    let story = Story { address: server.address().to_owned(), first_close, last_back, back };
    // One of each room talks, and says the last word.
    let members = (0..sockets())
        .map(|number| Member::new(&story, number % ROOMS + 1, number).live(number < ROOMS, all, "the end"));
    let restart = async {
        until("all clients", async || (story.back.get() == all).then_some(())).await?;
        server.signal("TERM")?;
        let ended = server.hand_over().await?;
        assert_eq!(ended.code(), Some(0));
        TestResult::Ok(())
    };
    let lives = within("all clients to come back", async { tokio::join!(try_join_all(members), restart) });
    let (views, restarted) = lives.await.with_context(|| format!("they entered {} times", story.back.get()))?;
    restarted?;
    let messages = server.stored()?.messages()?;
    for (number, view) in views?.into_iter().enumerate() {
        let room = number as u64 % ROOMS + 1;
        let stored = messages.iter().filter(|message| message.room == room);
        let stored: BTreeMap<u64, String> = stored.map(|message| (message.seq, message.text.clone())).collect();
        let mut once: Vec<_> = stored.values().collect();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), stored.len(), "a retry was stored twice in room {room}");
        assert_eq!(view, stored, "the view of u{number} is not what is stored");
    }
    let reads = server.admin("GET", "/v1/status")?.send().await?.expect(200)?["database_reads"].as_u64();
    let reads = reads.context("no figure")?;
    let took = story.last_back.get().context("none came back")? - story.first_close.get().context("none was closed")?;
    println!(
        "drain of {all} sockets: all back {took:?} after the first close; the next server read its database {reads} times"
    );
    // For each room: the room, its latest messages, its last number, and for each talker the ids of its retries.
    assert!(reads <= 20 * ROOMS, "{reads} reads");
    Ok(())
}
