//! One who posts messages by REST, to one host after the other.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;
use tokio::time::timeout;

use super::Talk;
use crate::{
    deadline::{DEADLINE, pause},
    history::message_in,
    hosts::Address,
    http::Request,
    user::User,
};

/// How long it waits between two posts.
const PACE: Duration = Duration::from_millis(25);

/// A person without a connection.
#[derive(Debug)]
pub(super) struct Poster {
    person: usize,
    room: u64,
    hosts: Vec<Address>,
    posts: usize,
    pub(super) pace: Duration,
    /// How long it waits for an answer.
    pub(super) patience: Duration,
}

impl Poster {
    pub(super) fn new(person: usize, room: u64, hosts: Vec<Address>) -> Self {
        Self { person, room, hosts, posts: 0, pace: PACE, patience: DEADLINE }
    }

    /// Posts as long as the others talk. A post without an answer is sent again, to the next host.
    pub(super) async fn live(&mut self, talk: &Talk) -> Result<()> {
        while talk.is_talking() {
            self.posts += 1;
            talk.waits(self.person, true);
            self.post(talk).await?;
            talk.waits(self.person, false);
            pause(self.pace).await;
        }
        Ok(())
    }

    async fn post(&self, talk: &Talk) -> Result<()> {
        let text = format!("poster{}-{}", self.person, self.posts);
        let body = json!({"message": text, "room": self.room, "client_id": format!("id-{text}")}).to_string();
        let user = User::named(&format!("poster{}", self.person));
        for host in self.hosts.iter().cycle().skip(self.posts) {
            let request = Request::new(&host.address, "POST", "/chat/v1/message/").identity(&user).json(body.clone());
            match timeout(self.patience, request.send()).await.unwrap_or_else(|late| Err(late.into())) {
                Ok(answer) if answer.status == 201 => {
                    talk.history.borrow_mut().posted.push(message_in(&answer.json())?);
                    return Ok(());
                }
                // Not stored, or not known: with the same id it is stored once.
                Ok(answer) if answer.status == 503 => talk.history.borrow_mut().has_failures = true,
                Ok(answer) => bail!("{} answered a post to room {} with {answer}", host.host, self.room),
                Err(_) => {}
            }
            pause(PACE).await;
        }
        bail!("there are no hosts")
    }
}
