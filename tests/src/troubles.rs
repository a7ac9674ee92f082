//! The faults that several hosts and their engines have to endure, each of which begins and ends while a crowd talks. Knows
//! how a fault is made, and nothing of what it leads to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ondol_engines::Stop;

use crate::{
    crowd::{Crowd, Talk},
    deadline::{pause, until},
    hosts::{Cut, Hosts},
};

/// How long a commit takes in a slow database.
const SLOW: Duration = Duration::from_millis(500);

/// How far off a clock is.
const CLOCK_OFF_SECONDS: i32 = 3_600;

/// How long a person of the crowd stays where it hears nothing: longer than a room waits for a new home.
const PATIENCE: Duration = Duration::from_secs(6);

/// How often a person says something.
const PACE: Duration = Duration::from_millis(100);

/// So many messages everyone hears before and after a fault.
const MESSAGES: u64 = 50;

/// In how many seconds everyone hears them.
const GOES_ON_SECONDS: u64 = 30;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A host is killed.
    Killed,
    /// A host is frozen.
    Frozen,
    /// A host is cut off.
    Cut(Cut),
    /// NATS is killed.
    NoBus,
    /// NATS is restarted.
    BusRestarts,
    /// PostgreSQL is killed and restarted.
    StoreRestarts,
    /// Commits are slow.
    SlowStore,
    /// A host's clock is ahead of the others.
    ClockAhead,
    /// A host's clock is behind the others.
    ClockBehind,
    /// Another host of the same name is started.
    Namesake,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Killed,
        Self::Frozen,
        Self::Cut(Cut::All),
        Self::Cut(Cut::Store),
        Self::Cut(Cut::Bus),
        Self::Cut(Cut::Incoming),
        Self::Cut(Cut::Outgoing),
        Self::Cut(Cut::SomeFrames),
        Self::NoBus,
        Self::BusRestarts,
        Self::StoreRestarts,
        Self::SlowStore,
        Self::ClockAhead,
        Self::ClockBehind,
        Self::Namesake,
    ];

    /// Each two of them that can happen at the same time to different hosts.
    #[must_use]
    pub fn pairs() -> Vec<[Self; 2]> {
        let pairs = Self::ALL
            .iter()
            .enumerate()
            .flat_map(|(first, one)| Self::ALL.iter().skip(first + 1).map(move |other| [*one, *other]));
        // What is killed cannot be restarted.
        pairs.filter(|pair| *pair != [Self::NoBus, Self::BusRestarts]).collect()
    }

    async fn begin(self, hosts: &mut Hosts, host: usize) -> Result<()> {
        match self {
            Self::Killed => hosts.kill(host).await,
            Self::Frozen => hosts.freeze(host),
            Self::Cut(cut) => hosts.cut(host, cut, true),
            Self::NoBus => hosts.bus()?.kill(),
            Self::BusRestarts => hosts.restart_bus().await,
            Self::StoreRestarts => hosts.restart_postgres(Stop::Kill).await,
            Self::SlowStore => hosts.slow_down_postgres(Some(SLOW)),
            Self::ClockAhead => hosts.set_clock(host, CLOCK_OFF_SECONDS),
            Self::ClockBehind => hosts.set_clock(host, -CLOCK_OFF_SECONDS),
            Self::Namesake => {
                let setup = hosts.setup(hosts.name(host), "test");
                // Where it would listen is taken in a network of its own.
                let started = setup.at("127.0.0.1:0").start().await;
                ensure!(started.is_err(), "a second host {} has started", hosts.name(host));
                Ok(())
            }
        }
    }

    fn end(self, hosts: &mut Hosts, host: usize) -> Result<()> {
        match self {
            Self::Frozen => hosts.thaw(host),
            Self::Cut(cut) => hosts.cut(host, cut, false),
            Self::NoBus => hosts.bus()?.start_again(),
            Self::SlowStore => hosts.slow_down_postgres(None),
            Self::ClockAhead | Self::ClockBehind => hosts.set_clock(host, 0),
            Self::Killed | Self::BusRestarts | Self::StoreRestarts | Self::Namesake => Ok(()),
        }
    }
}

/// A crowd that bears such faults, with people at different hosts in each room.
#[must_use]
pub fn crowd(hosts: &Hosts, rooms: &[u64], count: usize) -> Crowd {
    let places: Vec<_> = (0..count).map(|person| rooms[(person + person / rooms.len()) % rooms.len()]).collect();
    Crowd::new(hosts, &places, count).at_pace(PACE).with_patience(PATIENCE)
}

/// What hosts have to endure.
#[derive(Debug, Clone)]
pub struct Trial {
    /// What happens, and to which host.
    pub troubles: Vec<(Trouble, usize)>,
    /// For how long.
    pub time: Duration,
    /// In which time after it every host hears every other.
    pub healed: Duration,
}

impl Trial {
    /// Lets it happen while a crowd talks, and then has the hosts greet each other.
    ///
    /// # Errors
    /// When the crowd cannot go on afterwards.
    pub async fn endure(&self, hosts: &mut Hosts, talk: &Talk, rooms: &[u64]) -> Result<()> {
        let Self { troubles, time, healed } = self;
        talk.go_on(MESSAGES, GOES_ON_SECONDS).await.context("before the fault")?;
        let begun = Instant::now();
        for (trouble, host) in troubles {
            trouble.begin(hosts, *host).await.with_context(|| format!("{trouble:?} of {}", hosts.name(*host)))?;
        }
        pause(time.saturating_sub(begun.elapsed())).await;
        for (trouble, host) in troubles {
            trouble.end(hosts, *host).with_context(|| format!("the end of {trouble:?} of {}", hosts.name(*host)))?;
        }
        revive(hosts).await?;
        talk.greet(&hosts.addresses(), rooms, Instant::now() + *healed).await;
        talk.go_on(MESSAGES, GOES_ON_SECONDS).await.context("after the fault").map(drop)
    }
}

/// Starts each host again that has ended, or does so because it was declared dead.
async fn revive(hosts: &mut Hosts) -> Result<()> {
    for host in 0..hosts.count() {
        let what = format!("{} to live or to end", hosts.name(host));
        let is_running = until(what, async || {
            let is_running = hosts.is_running(host);
            let is_live = hosts.state_of(host).is_ok_and(|state| state == "live");
            (!is_running || is_live).then_some(is_running)
        });
        if !is_running.await? {
            hosts.restart(host).await?;
        }
    }
    Ok(())
}
