//! One person of a crowd, with one connection at a time.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until, timeout};

use super::Talk;
use crate::{
    client::{Client, Heard, Knock},
    deadline::{NEVER_MS, pause},
    history::{Act, message_in},
    hosts::Address,
    user::User,
};

/// How often a person says something.
const PACE: Duration = Duration::from_millis(15);

/// How long a person waits before trying again what a host refused.
const PAUSE: Duration = Duration::from_millis(15);

/// After so many messages, some people go to another host.
const STAY: u64 = 150;

/// A person.
#[derive(Debug)]
pub(super) struct Speaker {
    number: usize,
    room: u64,
    user: User,
    hosts: Vec<Address>,
    /// The host that the person is at, or tries next.
    host: usize,
    connection: Option<(Client, usize)>,
    /// The last message that it saw. None: none yet.
    after: Option<u64>,
    epoch: Option<String>,
    unanswered: VecDeque<Draft>,
    said: usize,
    pub(super) pace: Duration,
    /// How long it stays where it hears nothing.
    pub(super) patience: Duration,
    /// When it last heard something.
    heard_at: Instant,
}

/// What a person says.
#[derive(Debug, Clone)]
struct Draft {
    text: String,
    client_id: Option<String>,
}

impl Speaker {
    pub(super) fn new(number: usize, room: u64, hosts: Vec<Address>) -> Self {
        let (host, user) = (number % hosts.len(), User::named(&format!("person{number}")));
        let (connection, epoch, unanswered) = Default::default();
        // The others begin with what is live.
        let after = number.is_multiple_of(2).then_some(0);
        let (pace, patience, heard_at) = (PACE, Duration::from_millis(NEVER_MS), Instant::now());
        Self {
            number,
            room,
            user,
            hosts,
            host,
            connection,
            after,
            epoch,
            unanswered,
            said: 0,
            pace,
            patience,
            heard_at,
        }
    }

    /// Talks, waits for answers, and listens until the talk is over.
    pub(super) async fn live(&mut self, talk: &Talk) -> Result<()> {
        let mut phase = talk.phase.subscribe();
        let mut pace = interval(self.pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if talk.is_over() {
                return Ok(());
            }
            if self.connection.is_some() && self.heard_at.elapsed() >= self.patience {
                self.give_up(talk);
            }
            match self.connection {
                None => self.connect(talk).await?,
                Some(_) if self.may_say(talk) => self.say_next(talk, &mut pace).await?,
                Some(_) => tokio::select! {
                    heard = hear(&mut self.connection) => self.take(talk, heard?)?,
                    _ = phase.changed() => {}
                    () = sleep_until((self.heard_at + self.patience).into()) => {}
                },
            }
            let is_behind = talk.end_of(self.room).is_some_and(|end| self.after.is_none_or(|after| after < end));
            talk.waits(self.number, is_behind || !self.unanswered.is_empty());
        }
    }

    /// A third gives its messages no id: with one in flight, it knows what an error is about.
    fn has_ids(&self) -> bool {
        self.number % 3 != 2
    }

    fn may_say(&self, talk: &Talk) -> bool {
        let window = if self.has_ids() { 1 + self.number % 3 } else { 1 };
        talk.is_talking() && self.unanswered.len() < window
    }

    /// Says something when its time has come, unless something is heard first.
    async fn say_next(&mut self, talk: &Talk, pace: &mut Interval) -> Result<()> {
        tokio::select! {
            heard = hear(&mut self.connection) => return self.take(talk, heard?),
            _ = pace.tick() => {}
        }
        self.said += 1;
        let text = format!("{}-{}", self.user.nickname, self.said);
        let draft = Draft { client_id: self.has_ids().then(|| format!("id-{text}")), text };
        self.unanswered.push_back(draft.clone());
        self.send(talk, &draft).await;
        Ok(())
    }

    /// A connection that has ended shows it when it is read.
    async fn send(&mut self, talk: &Talk, draft: &Draft) {
        let Some((client, connection)) = &mut self.connection else { return };
        let Draft { text, client_id } = draft;
        let said = Act::Said { text: text.clone(), client_id: client_id.clone() };
        talk.history.borrow_mut().record(*connection, said);
        let frame = json!({"type": "chat.message", "message": text, "client_id": client_id});
        let _ = client.send(frame.to_string()).await;
    }

    /// Connects to its host, or else chooses the next one.
    async fn connect(&mut self, talk: &Talk) -> Result<()> {
        let entered = timeout(self.patience, self.enter()).await;
        let Some(client) = entered.unwrap_or(Ok(None))? else {
            self.host = (self.host + 1) % self.hosts.len();
            pause(PAUSE).await;
            return Ok(());
        };
        let host = &self.hosts[self.host].host;
        let connection = talk.history.borrow_mut().open(self.room, &self.user.id, host, self.after);
        (self.connection, self.heard_at) = (Some((client, connection)), Instant::now());
        // Without an id, it may be stored or not, and is not said again.
        self.unanswered.retain(|draft| draft.client_id.is_some());
        for draft in self.unanswered.clone() {
            self.send(talk, &draft).await;
        }
        Ok(())
    }

    /// Comes into the room through its host, and resumes. None: the host does not let it.
    async fn enter(&mut self) -> Result<Option<Client>> {
        let Address { host, address } = &self.hosts[self.host];
        let (room, user) = (self.room, self.user.query());
        let after = self.after.map(|after| format!("&after={after}")).unwrap_or_default();
        let epoch = self.epoch.as_ref().map(|epoch| format!("&epoch={epoch}")).unwrap_or_default();
        let target = format!("/ws/chat/{room}/chat/?{user}{after}{epoch}");
        let knock = Client::knock(address, &target, &self.user.nickname, &[]).await;
        let Ok(Knock::In(mut client)) = knock else { return Ok(None) };
        if self.after.is_some() {
            let Ok(sync) = client.next_json().await else { return Ok(None) };
            if sync["type"] != "chat.sync" || sync["recovered"] != true {
                bail!("{} resumed after {:?} at {host} and heard {sync}", self.user.nickname, self.after);
            }
            self.epoch = sync["epoch"].as_str().map(ToOwned::to_owned);
        }
        Ok(Some(*client))
    }

    /// Leaves a host that is silent.
    fn give_up(&mut self, talk: &Talk) {
        if let Some((_, connection)) = self.connection.take() {
            talk.history.borrow_mut().record(connection, Act::Ended);
        }
        self.host = (self.host + 1) % self.hosts.len();
    }

    fn take(&mut self, talk: &Talk, heard: Heard) -> Result<()> {
        let Some((_, connection)) = &self.connection else { return Ok(()) };
        self.heard_at = Instant::now();
        match heard {
            Heard::Text(text) => {
                let event: Value = serde_json::from_str(&text).context("a frame is not JSON")?;
                let connection = *connection;
                match event["type"].as_str() {
                    Some("chat.message") => self.take_message(talk, connection, &event)?,
                    Some("error") => self.take_error(talk, connection, &event)?,
                    Some(kind @ ("chat.user.join" | "chat.user.leave")) => {
                        let user = event["username"].as_str().context("no name")?.to_owned();
                        let act = if kind == "chat.user.join" { Act::Came(user) } else { Act::Went(user) };
                        talk.history.borrow_mut().record(connection, act);
                    }
                    _ => {}
                }
            }
            Heard::Ping | Heard::Pong(_) => {}
            Heard::Close(..) | Heard::Gone => {
                talk.history.borrow_mut().record(*connection, Act::Ended);
                self.connection = None;
            }
            Heard::Binary(_) => bail!("a binary frame"),
        }
        Ok(())
    }

    fn take_message(&mut self, talk: &Talk, connection: usize, event: &Value) -> Result<()> {
        let message = message_in(event)?;
        let (seq, text) = (message.seq, message.text.clone());
        let is_fresh = !talk.history.borrow().has_heard(self.room, seq);
        talk.history.borrow_mut().record(connection, Act::Heard(message));
        if is_fresh && talk.history.borrow().heard().is_multiple_of(super::reader::EVERY) {
            talk.fresh.send_replace(Some((self.room, seq)));
        }
        self.unanswered.retain(|draft| draft.text != text);
        // The answer to one that was said again comes beside the others.
        if self.after.is_none_or(|after| seq > after) {
            self.after = Some(seq);
            talk.heard.borrow_mut()[self.number] += 1;
            if self.number.is_multiple_of(5) && seq.is_multiple_of(STAY) {
                talk.history.borrow_mut().record(connection, Act::Left);
                self.connection = None;
                self.host = (self.host + 1) % self.hosts.len();
            }
        }
        Ok(())
    }

    /// What was refused is not said again.
    fn take_error(&mut self, talk: &Talk, connection: usize, event: &Value) -> Result<()> {
        let alone = self.unanswered.front().filter(|_| !self.has_ids()).map(|draft| draft.text.clone());
        let text = event["client_id"].as_str().and_then(|id| id.strip_prefix("id-")).map(ToOwned::to_owned).or(alone);
        let text = text.with_context(|| format!("{} was told {event}", self.user.nickname))?;
        self.unanswered.retain(|draft| draft.text != text);
        match event["code"].as_str() {
            Some("busy" | "not_stored") => {
                talk.history.borrow_mut().record(connection, Act::Refused(text));
                Ok(())
            }
            // It may be stored.
            Some("unknown") => {
                talk.history.borrow_mut().record(connection, Act::InDoubt(text));
                Ok(())
            }
            _ => bail!("{} was told {event}", self.user.nickname),
        }
    }
}

/// The next frame.
async fn hear(connection: &mut Option<(Client, usize)>) -> Result<Heard> {
    let (client, _) = connection.as_mut().context("no connection")?;
    client.next().await
}
