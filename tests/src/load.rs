//! What the clients of a server do until its end: they talk, create rooms and deploy, and record the answers in a
//! [`Ledger`]. Knows nothing of how the end comes.

use std::{cell::RefCell, collections::VecDeque};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::{
    client::{Client, Heard},
    handlers::{guest, standard},
    ledger::Ledger,
    server::TestServer,
};

/// A message to be sent, with a unique text and a unique `client_id`.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The text, which begins with the `client_id`.
    pub text: String,
    client_id: String,
}

impl Draft {
    /// The `number`th of `name`, so many letters longer.
    #[must_use]
    pub fn new(name: &str, number: usize, letters: usize) -> Self {
        let client_id = format!("{name}-{number}");
        Self { text: format!("{client_id} {}.", "x".repeat(letters)), client_id }
    }

    fn frame(&self) -> String {
        json!({"type": "chat.message", "message": self.text, "client_id": self.client_id}).to_string()
    }
}

/// Sends one draft after the other, with `window` of them in flight, until there are no more or the connection ends.
/// Returns those without an answer.
///
/// # Errors
/// When the server does not answer, or contradicts itself.
pub async fn talk(
    client: &mut Client,
    mut drafts: impl Iterator<Item = Draft>,
    window: usize,
    ledger: &RefCell<Ledger>,
) -> Result<Vec<Draft>> {
    let mut waiting = VecDeque::new();
    loop {
        while waiting.len() < window
            && let Some(draft) = drafts.next()
        {
            let frame = draft.frame();
            waiting.push_back(draft);
            if client.send(frame).await.is_err() {
                return Ok(waiting.into());
            }
        }
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        match client.next().await? {
            Heard::Text(text) => note(&serde_json::from_str(&text)?, &mut waiting, &mut ledger.borrow_mut())?,
            Heard::Ping | Heard::Pong(_) => {}
            Heard::Close(..) | Heard::Gone => return Ok(waiting.into()),
            Heard::Binary(_) => bail!("a binary frame"),
        }
    }
}

fn note(event: &Value, waiting: &mut VecDeque<Draft>, ledger: &mut Ledger) -> Result<()> {
    let told = event["client_id"].as_str();
    let mine = match event["type"].as_str() {
        // An error may come without a `client_id`: then its message is known only if there is one in flight.
        Some("error") if told.is_none() && waiting.len() == 1 => Some(0),
        _ => waiting.iter().position(|draft| told == Some(&draft.client_id)),
    };
    let mine = mine.and_then(|index| waiting.remove(index));
    match event["type"].as_str() {
        Some("chat.message") => ledger.message(event),
        Some("error") => {
            if let Some(draft) = mine.filter(|_| event["code"] == "not_stored") {
                ledger.not_stored(&draft.text);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Creates rooms until the server is gone.
pub async fn create_rooms(server: &TestServer, ledger: &RefCell<Ledger>) {
    while let Ok(answer) = server.post("/chat/v1/create-room/", &json!({"name": "one of many"})).await {
        if let (201, Some(id)) = (answer.status, answer.json()["id"].as_u64()) {
            ledger.borrow_mut().room(id);
        }
    }
}

/// Deploys two components in turn until the server is gone.
pub async fn deploy(server: &TestServer, ledger: &RefCell<Ledger>) {
    for file in [guest("shouting_events"), standard("events")].iter().cycle() {
        let Ok(answer) = server.upload("events", file).await else { return };
        if let (200 | 201, Some(number)) = (answer.status, answer.json()["release"].as_u64()) {
            ledger.borrow_mut().release(number);
        }
    }
}
