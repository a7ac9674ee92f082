//! A client that comes back whenever its connection ends, as a good client does: it resumes after the last message it
//! saw, and sends again what has no answer, under the same `client_id`. Knows nothing of why connections end.

use std::collections::VecDeque;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    client::{Client, Heard, Knock},
    user::User,
};

/// The client, and its view of the room.
pub struct Returning {
    address: String,
    room: u64,
    user: User,
    client: Option<Client>,
    /// The messages that it saw: `seq` and text.
    pub seen: Vec<(u64, String)>,
    /// How often it was told that its view is out of date.
    pub unrecovered: usize,
    after: u64,
    epoch: Option<String>,
    unanswered: VecDeque<(String, String)>,
    said: usize,
}

impl Returning {
    /// A client of the server, or of a line to it, at this address. It is not connected yet.
    #[must_use]
    pub fn new(address: &str, room: u64, user: &str) -> Self {
        let (seen, unanswered) = Default::default();
        Self {
            address: address.into(),
            room,
            user: User::named(user),
            client: None,
            seen,
            unrecovered: 0,
            after: 0,
            epoch: None,
            unanswered,
            said: 0,
        }
    }

    /// Says something, now or once it is connected again.
    pub async fn say(&mut self, text: &str) {
        self.said += 1;
        let said = (format!("{}-{}", self.user.nickname, self.said), text.to_owned());
        self.send(&said).await;
        self.unanswered.push_back(said);
    }

    /// Reads until it has seen so many messages and has an answer to each of its own.
    ///
    /// # Errors
    /// When the server contradicts itself, or the messages do not come in time.
    pub async fn until_seen(&mut self, count: usize) -> Result<()> {
        while self.seen.len() < count || !self.unanswered.is_empty() {
            self.turn().await?;
        }
        Ok(())
    }

    /// Connects if it is not, and takes one frame.
    ///
    /// # Errors
    /// When the server contradicts itself, or nothing comes in time.
    pub async fn turn(&mut self) -> Result<()> {
        let Some(client) = &mut self.client else { return self.connect().await };
        match client.next().await? {
            Heard::Text(text) => self.take(&serde_json::from_str(&text).context("a frame is not JSON")?),
            Heard::Ping | Heard::Pong(_) => Ok(()),
            Heard::Close(..) | Heard::Gone => {
                self.client = None;
                Ok(())
            }
            Heard::Binary(_) => bail!("a binary frame"),
        }
    }

    async fn connect(&mut self) -> Result<()> {
        let epoch = self.epoch.as_ref().map(|epoch| format!("&epoch={epoch}")).unwrap_or_default();
        let (room, user, after) = (self.room, self.user.query(), self.after);
        let target = format!("/ws/chat/{room}/chat/?{user}&after={after}{epoch}");
        // A line may fail in the handshake as well.
        if let Ok(Knock::In(client)) = Client::knock(&self.address, &target, &self.user.nickname, &[]).await {
            self.client = Some(*client);
            for said in self.unanswered.clone() {
                self.send(&said).await;
            }
        }
        Ok(())
    }

    /// A connection that has ended shows it at the next turn.
    async fn send(&mut self, (client_id, text): &(String, String)) {
        if let Some(client) = &mut self.client {
            let frame = json!({"type": "chat.message", "message": text, "client_id": client_id});
            let _ = client.send(frame.to_string()).await;
        }
    }

    fn take(&mut self, event: &Value) -> Result<()> {
        match event["type"].as_str() {
            Some("chat.sync") => {
                if event["recovered"] == false {
                    self.unrecovered += 1;
                    self.seen.clear();
                    self.after = event["seq"].as_u64().context("no seq")?;
                }
                self.epoch = event["epoch"].as_str().map(ToOwned::to_owned);
            }
            Some("chat.message") => {
                let seq = event["seq"].as_u64().context("no seq")?;
                self.unanswered.retain(|(client_id, _)| event["client_id"] != json!(client_id));
                // The answer to one that was sent again comes by itself, beside what is missed.
                if seq > self.after {
                    ensure!(seq == self.after + 1, "{} saw {} and then {event}", self.user.nickname, self.after);
                    self.after = seq;
                    self.seen.push((seq, event["message"].as_str().unwrap_or_default().to_owned()));
                }
            }
            Some("error") => bail!("{} was told {event}", self.user.nickname),
            _ => {}
        }
        Ok(())
    }
}
