//! People who talk to several hosts: each comes back to the next host when its connection ends, resumes after the last
//! message it saw, and sends again what has no answer. All of it is recorded in a [`History`]. Knows nothing of what ends
//! connections.

mod poster;
mod reader;
mod speaker;

use std::{
    cell::{Ref, RefCell},
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::future::try_join_all;
use ondol_engines::Database;
use tokio::sync::watch;

use self::{poster::Poster, speaker::Speaker};
use crate::{
    checker::presence_violations,
    deadline::until,
    history::History,
    hosts::{Address, Hosts},
    witness::greet,
};

/// The crowd, over all its talks.
#[derive(Debug)]
pub struct Crowd {
    speakers: Vec<Speaker>,
    posters: Vec<Poster>,
    database: Arc<Database>,
    talk: Talk,
}

/// What the people of a crowd share.
#[derive(Debug)]
pub struct Talk {
    history: RefCell<History>,
    /// How many messages each speaker heard.
    heard: RefCell<Vec<u64>>,
    /// Who waits for answers.
    waiting: RefCell<BTreeSet<usize>>,
    phase: watch::Sender<Phase>,
    /// A message that was just heard first, for the independent reader.
    fresh: watch::Sender<Option<(u64, u64)>>,
}

/// What they do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// They say one message after the other.
    Talk,
    /// They wait for the answers to what they said.
    Quiet,
    /// They listen until they have seen the last message of each room, and who is there.
    Until(BTreeMap<u64, u64>),
    /// The talk has ended.
    Over,
}

/// How long they listen who is there.
const REST_MAX: Duration = Duration::from_secs(30);

impl Crowd {
    /// So many people, spread over the hosts and over these rooms, of which one may be named several times, and one who posts
    /// by REST to each room.
    #[must_use]
    pub fn new(hosts: &Hosts, rooms: &[u64], count: usize) -> Self {
        let addresses = hosts.addresses();
        let places = (0..count).zip(rooms.iter().cycle());
        let speakers = places.map(|(number, room)| Speaker::new(number, *room, addresses.clone())).collect();
        let once: BTreeSet<u64> = rooms.iter().copied().collect();
        let posters = once.into_iter().zip(count..).map(|(room, person)| Poster::new(person, room, addresses.clone()));
        let talk = Talk {
            history: RefCell::default(),
            heard: RefCell::new(vec![0; count]),
            waiting: RefCell::default(),
            phase: watch::Sender::new(Phase::Talk),
            fresh: watch::Sender::new(None),
        };
        Self { speakers, posters: posters.collect(), database: Arc::clone(hosts.database()), talk }
    }

    /// Each says something this often.
    #[must_use]
    pub fn at_pace(mut self, pace: Duration) -> Self {
        self.speakers.iter_mut().for_each(|speaker| speaker.pace = pace);
        self.posters.iter_mut().for_each(|poster| poster.pace = pace);
        self
    }

    /// Each goes to the next host when nothing was heard for this time, as a client does whose host does not answer pings.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.speakers.iter_mut().for_each(|speaker| speaker.patience = patience);
        self.posters.iter_mut().for_each(|poster| poster.patience = patience);
        self
    }

    /// Lets them talk while `meanwhile` runs. At its end each must have an answer to all that it said and could say again,
    /// and must see the last message of its room.
    ///
    /// # Errors
    /// When they do not, or a host contradicts itself.
    pub async fn talk<T>(&mut self, meanwhile: impl AsyncFnOnce(&Talk) -> Result<T>) -> Result<T> {
        let Self { speakers, posters, database, talk } = self;
        talk.phase.send_replace(Phase::Talk);
        let talk = &*talk;
        let speaking = try_join_all(speakers.iter_mut().map(|speaker| speaker.live(talk)));
        let posting = try_join_all(posters.iter_mut().map(|poster| poster.live(talk)));
        let reading = reader::live(talk, database);
        let meanwhile = async {
            let result = meanwhile(talk).await?;
            talk.phase.send_replace(Phase::Quiet);
            let answered = until("all answers", async || talk.waiting.borrow().is_empty().then_some(())).await;
            answered.map_err(|error| error.context(format!("without one: {:?}", talk.waiting.borrow())))?;
            talk.waiting.borrow_mut().extend(0..talk.heard.borrow().len());
            talk.phase.send_replace(Phase::Until(reader::last_numbers(database)?));
            let heard = until("the last messages", async || talk.waiting.borrow().is_empty().then_some(())).await;
            heard.map_err(|error| error.context(format!("not heard by: {:?}", talk.waiting.borrow())))?;
            // If it takes longer, the check says what is missing.
            let is_true = async || presence_violations(&talk.history()).is_empty().then_some(());
            let _ = tokio::time::timeout(REST_MAX, until("everyone's presence", is_true)).await;
            talk.phase.send_replace(Phase::Over);
            anyhow::Ok(result)
        };
        let (result, _, _, ()) = tokio::try_join!(meanwhile, speaking, posting, reading)?;
        Ok(result)
    }

    /// What they said and heard.
    #[must_use]
    pub fn history(&self) -> Ref<'_, History> {
        self.talk.history.borrow()
    }

    /// What they share.
    #[must_use]
    pub fn shared(&self) -> &Talk {
        &self.talk
    }
}

impl Talk {
    /// What they said and heard so far.
    #[must_use]
    pub fn history(&self) -> Ref<'_, History> {
        self.history.borrow()
    }

    /// Waits until each speaker has heard so many messages more, which must take less than `seconds`. Returns how long it
    /// took.
    ///
    /// # Errors
    /// When one has not.
    pub async fn go_on(&self, messages: u64, seconds: u64) -> Result<Duration> {
        let all = self.heard.borrow().len();
        self.those_go_on(&(0..all).collect::<Vec<_>>(), messages, seconds).await
    }

    /// The same of these speakers alone.
    ///
    /// # Errors
    /// When one has not.
    pub async fn those_go_on(&self, people: &[usize], messages: u64, seconds: u64) -> Result<Duration> {
        let (since, before) = (Instant::now(), self.heard.borrow().clone());
        let behind = || -> Vec<usize> {
            let heard = self.heard.borrow();
            people.iter().copied().filter(|person| heard[*person] < before[*person] + messages).collect()
        };
        let all = until("messages for everyone", async || behind().is_empty().then_some(()));
        let limit = Duration::from_secs(seconds);
        match tokio::time::timeout(limit, all).await {
            Ok(waited) => waited.map(|()| since.elapsed()),
            Err(_) => anyhow::bail!("after {limit:?}, these have not heard {messages} messages more: {:?}", behind()),
        }
    }

    /// Has one more client at each host say something in each room, and records whether all of them heard it by `end`.
    pub async fn greet(&self, hosts: &[Address], rooms: &[u64], end: Instant) {
        greet(&self.history, hosts, rooms, end).await;
    }

    fn is_talking(&self) -> bool {
        *self.phase.borrow() == Phase::Talk
    }

    fn is_over(&self) -> bool {
        *self.phase.borrow() == Phase::Over
    }

    /// The number of the last message of a room, once it is known.
    fn end_of(&self, room: u64) -> Option<u64> {
        match &*self.phase.borrow() {
            Phase::Until(last) => Some(last.get(&room).copied().unwrap_or_default()),
            Phase::Talk | Phase::Quiet | Phase::Over => None,
        }
    }

    /// Notes that someone waits for an answer, or no longer.
    fn waits(&self, person: usize, waits: bool) {
        let mut waiting = self.waiting.borrow_mut();
        if waits {
            waiting.insert(person)
        } else {
            waiting.remove(&person)
        };
    }
}
