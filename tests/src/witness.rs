//! One client whose words a story chooses, recorded in a [`History`]; and the greeting after a fault, for which there is one
//! at each host in each room.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout_at;

use crate::{
    client::{Client, Heard, Knock},
    deadline::pause,
    history::{Act, Greeting, History, message_in},
    hosts::Address,
    user::User,
};

/// How long a witness waits before it tries again what was refused.
const PAUSE: Duration = Duration::from_millis(100);

/// A client of a room.
pub struct Witness<'a> {
    history: &'a RefCell<History>,
    client: Client,
    connection: usize,
    /// What it said last.
    said: String,
}

impl<'a> Witness<'a> {
    /// Comes into a room through a host.
    ///
    /// # Errors
    /// When the host refuses.
    pub async fn enter(history: &'a RefCell<History>, at: &Address, room: u64, name: &str) -> Result<Self> {
        let target = format!("/ws/chat/{room}/chat/?{}", User::named(name).query());
        let client = match Client::knock(&at.address, &target, name, &[]).await? {
            Knock::In(client) => *client,
            Knock::Out(answer) => bail!("{} does not let {name} in: {answer}", at.host),
        };
        let connection = history.borrow_mut().open(room, name, &at.host, None);
        Ok(Self { history, client, connection, said: String::new() })
    }

    /// Says something, without an id: it is stored or not, and never said again.
    pub async fn say(&mut self, text: &str) {
        text.clone_into(&mut self.said);
        self.record(Act::Said { text: text.to_owned(), client_id: None });
        // A connection that is gone shows it when it is read.
        let _ = self.client.send(json!({"type": "chat.message", "message": text}).to_string()).await;
    }

    /// What happens next.
    ///
    /// # Errors
    /// When nothing does, or it is told something else of its message than that it is not stored, or not known.
    pub async fn next(&mut self) -> Result<Act> {
        loop {
            let act = match self.client.next().await? {
                Heard::Text(text) => {
                    let event: Value = serde_json::from_str(&text).context("a frame is not JSON")?;
                    match (event["type"].as_str(), event["code"].as_str()) {
                        (Some("chat.message"), _) => Act::Heard(message_in(&event)?),
                        (Some("error"), Some("busy" | "not_stored")) => Act::Refused(self.said.clone()),
                        (Some("error"), code) if code != Some("unknown") => bail!("{} was told {event}", self.said),
                        _ => continue,
                    }
                }
                Heard::Close(..) | Heard::Gone => Act::Ended,
                _ => continue,
            };
            self.record(act.clone());
            return Ok(act);
        }
    }

    /// Waits until it hears this.
    ///
    /// # Errors
    /// When its connection ends, or it is not heard in time.
    pub async fn hear(&mut self, text: &str) -> Result<()> {
        loop {
            match self.next().await? {
                Act::Heard(message) if message.text == text => return Ok(()),
                Act::Ended => bail!("the connection ended before {text:?} was heard"),
                _ => {}
            }
        }
    }

    /// Waits until it hears what it said, is told that it is not stored, or its connection ends.
    ///
    /// # Errors
    /// When nothing of this happens.
    pub async fn outcome(&mut self) -> Result<Act> {
        loop {
            match self.next().await? {
                Act::Heard(message) if message.text != self.said => {}
                act => return Ok(act),
            }
        }
    }

    fn record(&self, act: Act) {
        self.history.borrow_mut().record(self.connection, act);
    }

    /// Says a text that begins so, again if it is refused, and listens until it has heard all of these or time is up. Returns
    /// those that it has heard.
    async fn greet(&mut self, own: &str, all: &BTreeSet<String>, end: Instant) -> BTreeSet<String> {
        let (mut heard, mut attempts) = (BTreeSet::new(), 0);
        let listen = async {
            self.say(&format!("{own}/{attempts}")).await;
            while heard.len() < all.len() {
                match self.next().await {
                    Ok(Act::Heard(message)) => {
                        let text = message.text.rsplit_once('/').map(|(text, _)| text.to_owned());
                        heard.extend(text.filter(|text| all.contains(text)));
                    }
                    Ok(Act::Refused(_) | Act::InDoubt(_)) => {
                        attempts += 1;
                        pause(PAUSE).await;
                        self.say(&format!("{own}/{attempts}")).await;
                    }
                    Ok(Act::Ended) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        // What was not heard is missing, for whatever reason.
        let _ = timeout_at(end.into(), listen).await;
        heard
    }
}

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        self.record(Act::Left);
    }
}

/// Has one client at each host say something in each room, and records whether all of them heard it by `end`.
pub async fn greet(history: &RefCell<History>, hosts: &[Address], rooms: &[u64], end: Instant) {
    let round = history.borrow().greetings.len();
    let greetings = join_all(rooms.iter().map(|room| greet_room(history, hosts, *room, round, end))).await;
    history.borrow_mut().greetings.extend(greetings.concat());
}

async fn greet_room(
    history: &RefCell<History>,
    hosts: &[Address],
    room: u64,
    round: usize,
    end: Instant,
) -> Vec<Greeting> {
    let text = |address: &Address| format!("greeting {round} of {} in {room}", address.host);
    let entering = hosts.iter().map(async |address| {
        let name = format!("witness{round}-{room}-{}", address.host);
        let entering = async {
            loop {
                match Witness::enter(history, address, room, &name).await {
                    Ok(witness) => return witness,
                    Err(_) => pause(PAUSE).await,
                }
            }
        };
        timeout_at(end.into(), entering).await.ok()
    });
    // All are there before the first says something.
    let mut witnesses = join_all(entering).await;
    let all: BTreeSet<String> = hosts.iter().map(text).collect();
    let listening = witnesses.iter_mut().zip(hosts).map(async |(witness, address)| match witness {
        Some(witness) => witness.greet(&text(address), &all, end).await,
        None => BTreeSet::new(),
    });
    let heard = join_all(listening).await;
    let greeting = &|(to, heard): (&Address, &BTreeSet<String>), from: &Address| Greeting {
        room,
        from: from.host.clone(),
        to: to.host.clone(),
        heard: heard.contains(&text(from)),
    };
    hosts.iter().zip(&heard).flat_map(|to| hosts.iter().map(move |from| greeting(to, from))).collect()
}
