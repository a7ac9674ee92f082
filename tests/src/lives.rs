//! A server that ends and is restarted on the same data, under load, with a [`Ledger`] over all its lives. Knows
//! nothing of what ends it.

use std::{cell::RefCell, fmt::Display, rc::Rc};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;

use crate::{
    client::Client,
    deadline::until,
    ledger::{Difference, Ledger},
    load::{self, Draft},
    server::TestServer,
    setup::Setup,
    user::User,
};

/// How the clients of a life talk.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// For each room, how many messages each of its speakers has in flight.
    pub windows: &'static [usize],
    /// The length of their messages.
    pub letters: usize,
    /// Whether rooms are created at the same time.
    pub creates_rooms: bool,
    /// Whether handlers are deployed at the same time.
    pub deploys: bool,
}

/// The server and the record of its answers.
#[derive(Debug)]
pub struct Lives {
    /// The server of the current life.
    pub server: TestServer,
    ledger: Rc<RefCell<Ledger>>,
    rooms: Vec<u64>,
    life: usize,
    /// The epoch of the database, once a client has resumed.
    epoch: Option<String>,
    /// The messages without an answer at the end of the last life, with the room and the name of their speaker.
    unanswered: Vec<(u64, String, Vec<Draft>)>,
}

impl Lives {
    /// Starts the server, with a room for each window of `load`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn begin(setup: Setup, load: &Load) -> Result<Self> {
        let server = setup.without_rate_limits().start().await?;
        let mut lives =
            Self { server, ledger: Rc::default(), rooms: Vec::new(), life: 0, epoch: None, unanswered: Vec::new() };
        for number in 0..load.windows.len() {
            let room = lives.server.create_room(&format!("room {number}")).await?;
            lives.ledger.borrow_mut().room(room);
            lives.rooms.push(room);
        }
        Ok(lives)
    }

    /// The number of received messages.
    #[must_use]
    pub fn heard(&self) -> usize {
        self.ledger.borrow().heard()
    }

    /// The number of all answers.
    #[must_use]
    pub fn told(&self) -> usize {
        self.ledger.borrow().told()
    }

    /// Lets the clients talk until their connections end: `begun` is called once all are connected.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn talk(&mut self, load: &Load, begun: impl AsyncFnOnce(&TestServer) -> Result<()>) -> Result<()> {
        self.life += 1;
        let (server, ledger, life) = (&self.server, &*self.ledger, self.life);
        let mut speakers = Vec::new();
        for (room, window) in self.rooms.iter().zip(load.windows) {
            for name in ["ann", "ben"] {
                let name = format!("{name}{room}");
                speakers.push((*room, *window, name.clone(), server.open_tab(*room, name.as_str()).await?));
            }
        }
        let talks = try_join_all(speakers.into_iter().map(async |(room, window, name, mut client)| {
            let drafts = (0..).map(|number| Draft::new(&format!("{name}-{life}"), number, load.letters));
            let unanswered = load::talk(&mut client, drafts, window, ledger).await?;
            Ok::<_, anyhow::Error>((room, name, unanswered))
        }));
        let others = async {
            let rooms = async {
                if load.creates_rooms {
                    load::create_rooms(server, ledger).await
                }
            };
            let deploys = async {
                if load.deploys {
                    load::deploy(server, ledger).await
                }
            };
            tokio::join!(rooms, deploys)
        };
        let (begun, unanswered, _) = tokio::join!(begun(server), talks, others);
        begun?;
        self.unanswered = unanswered?;
        Ok(())
    }

    /// The same, and calls `then`, which has to end the server, once so many messages were received in all lives.
    ///
    /// # Errors
    /// When they do not come in time, or the server does not answer.
    pub async fn talk_until_heard(
        &mut self,
        load: &Load,
        heard: usize,
        then: impl AsyncFnOnce(&TestServer) -> Result<()>,
    ) -> Result<()> {
        let told = Rc::clone(&self.ledger);
        self.talk(load, async |server| {
            until("so many messages", async || (told.borrow().heard() >= heard).then_some(())).await?;
            then(server).await
        })
        .await
    }

    /// Restarts the server with an environment variable, and compares the database with the record.
    ///
    /// # Errors
    /// When the server does not come up again, or the database cannot be read.
    pub async fn begin_again(&mut self, name: &str, value: impl Display) -> Result<Vec<Difference>> {
        self.server.restart_with(name, value).await?;
        self.differences()
    }

    /// Compares the database with the record.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn differences(&self) -> Result<Vec<Difference>> {
        self.ledger.borrow().differences(&self.server.stored()?)
    }

    /// Resumes in each room after one of the last messages that were received: exactly what is stored after it must come,
    /// and the epoch must stay.
    async fn resume(&mut self) -> Result<()> {
        for room in &self.rooms {
            let back = u64::try_from(self.life % 40)?;
            let after = self.ledger.borrow().last_heard(*room).saturating_sub(back);
            let epoch = self.epoch.as_ref().map(|epoch| format!("&epoch={epoch}")).unwrap_or_default();
            let target = format!("/ws/chat/{room}/chat/?{}&after={after}{epoch}", User::named("fay").query());
            let mut client = self.server.knock(&target, &[]).await?.opened()?;
            let sync = client.next_json().await?;
            ensure!(sync["recovered"] == true, "{sync} after {after} in room {room}");
            ensure!(sync["seq"] == self.last_seq(*room)?, "{sync} is not the last message of room {room}");
            for seq in after + 1..=sync["seq"].as_u64().unwrap_or_default() {
                let event = client.next_message().await?;
                ensure!(event["seq"] == seq, "expected seq {seq} in room {room}, got {event}");
                self.ledger.borrow_mut().message(&event)?;
            }
            self.epoch = sync["epoch"].as_str().map(ToOwned::to_owned);
        }
        Ok(())
    }

    /// Resumes in each room. Then sends the messages without an answer again, and one more in each room, which must get the number after the last
    /// stored one. The history must show the content of the database.
    ///
    /// # Errors
    /// When they differ.
    pub async fn go_on(&mut self) -> Result<()> {
        self.resume().await?;
        for (room, name, drafts) in std::mem::take(&mut self.unanswered) {
            let mut client = self.server.open_tab(room, name.as_str()).await?;
            let unanswered = load::talk(&mut client, drafts.into_iter(), 1, &self.ledger).await?;
            ensure!(unanswered.is_empty(), "{name}'s connection ended");
        }
        for room in &self.rooms {
            let mut client: Client = self.server.open_tab(*room, "eve").await?;
            let last = self.last_seq(*room)?;
            client.say(&format!("eve{room}-{}", self.life)).await?;
            let event = client.next_message().await?;
            ensure!(event["seq"] == last + 1, "expected seq {} in room {room}, got {event}", last + 1);
            self.ledger.borrow_mut().message(&event)?;
            // Large messages take several pages.
            let mut after = last.saturating_sub(49);
            while after < last + 1 {
                let page = format!("/chat/v1/room/{room}/messages/?after={after}&limit=50");
                let history = self.server.get(&page).await?.expect(200)?;
                let history = history.as_array().context("no array")?;
                ensure!(!history.is_empty(), "the history of room {room} ends at {after}, before {}", last + 1);
                history.iter().try_for_each(|message| self.ledger.borrow_mut().message(message))?;
                after += history.len() as u64;
            }
        }
        Ok(())
    }

    fn last_seq(&self, room: u64) -> Result<u64> {
        self.server.stored()?.number(&format!("SELECT coalesce(max(seq), 0) FROM message WHERE room = {room}"))
    }
}
