//! A way from hosts to NATS that loses what they say, and may hide it: then the numbers of the packets that follow are
//! changed, so that none seems to be missing. Knows the protocol of NATS, packets and beats, and nothing of what they say.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::disk::Chance;

/// The bytes of a packet: the form, from whom, to whom, and its number.
const TO: usize = 5;
const NUMBER: usize = 9;
const PIECE: usize = 17;

/// The bytes of a beat: the form, that it is a beat, from whom and the release. Pairs follow: a host, and the number of the
/// last packet to it.
const BEAT_FROM: usize = 2;
const BEAT_PAIRS: usize = 14;

/// The way, for all hosts.
#[derive(Debug)]
pub struct LossyBus {
    port: u16,
    server: String,
    loses: Arc<Mutex<Losing>>,
}

#[derive(Debug)]
struct Losing {
    chance: Chance,
    percent: u64,
    hides: bool,
    lost: u64,
    /// The number of the last packet that came through, by sender and receiver, as its receiver knows it.
    passed: BTreeMap<(i32, i32), u64>,
}

impl LossyBus {
    /// A way to the server at this address. It loses nothing yet.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn to(server: &str, seed: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let passed = BTreeMap::new();
        let losing = Losing { chance: Chance::new(seed), percent: 0, hides: false, lost: 0, passed };
        let loses = Arc::new(Mutex::new(losing));
        let (target, shared) = (server.to_owned(), Arc::clone(&loses));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, shared) = (target.clone(), Arc::clone(&shared));
                tokio::spawn(async move { carry(client, &target, &shared).await });
            }
        });
        Ok(Self { port, server: server.to_owned(), loses })
    }

    /// A URL of the server, over this way.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        url.replace(&self.server, &format!("127.0.0.1:{}", self.port))
    }

    /// Loses this share of what hosts say from now on.
    pub fn lose(&self, percent: u64) {
        lock(&self.loses).percent = percent;
    }

    /// Loses this share of the packets from now on, and hides it.
    pub fn lose_and_hide(&self, percent: u64) {
        let mut loses = lock(&self.loses);
        (loses.percent, loses.hides) = (percent, true);
    }

    /// How much was lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        lock(&self.loses).lost
    }
}

impl Losing {
    /// What becomes of something that a host says to this subject. False: it is lost.
    fn pass(&mut self, subject: &str, said: &mut [u8]) -> Option<bool> {
        if subject.ends_with(".all") {
            return self.pass_to_all(said);
        }
        let (link, number) = ((int(said, 1)?, int(said, TO)?), long(said, NUMBER)?);
        if self.chance.below(100) < self.percent {
            self.lost += 1;
            return Some(false);
        }
        let passed = self.passed.entry(link).or_default();
        *passed = if self.hides { *passed + 1 } else { number };
        said.get_mut(NUMBER..PIECE)?.copy_from_slice(&passed.to_le_bytes());
        Some(true)
    }

    fn pass_to_all(&mut self, said: &mut [u8]) -> Option<bool> {
        if !self.hides {
            let is_lost = self.chance.below(100) < self.percent;
            self.lost += u64::from(is_lost);
            return Some(!is_lost);
        }
        let (is_beat, from) = (*said.get(1)? == 0, int(said, BEAT_FROM)?);
        for pair in said.get_mut(BEAT_PAIRS..)?.chunks_exact_mut(12).filter(|_| is_beat) {
            let passed = self.passed.get(&(from, int(pair, 0)?)).copied().unwrap_or_default();
            pair.get_mut(4..)?.copy_from_slice(&passed.to_le_bytes());
        }
        Some(true)
    }
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn lock(loses: &Mutex<Losing>) -> MutexGuard<'_, Losing> {
    loses.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn carry(client: TcpStream, server: &str, loses: &Mutex<Losing>) -> Result<()> {
    let server = TcpStream::connect(server).await?;
    for side in [&client, &server] {
        side.set_nodelay(true)?;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let back = async {
        let (mut from, mut to) = (from_server, to_client);
        tokio::io::copy(&mut from, &mut to).await?;
        anyhow::Ok(())
    };
    // The end of either way is the end of both.
    tokio::select! {
        ended = up(from_client, to_server, loses) => ended,
        ended = back => ended,
    }
}

/// `PUB subject size` and `HPUB subject headers size`, each perhaps with a subject for answers, come before what is said.
async fn up(from: OwnedReadHalf, mut to: OwnedWriteHalf, loses: &Mutex<Losing>) -> Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        if from.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let order = String::from_utf8_lossy(&line).into_owned();
        let mut words = order.split_whitespace();
        if words.next() != Some("PUB") {
            to.write_all(&line).await?;
            continue;
        }
        let (subject, size) = (words.next().context("no subject")?, words.last().context("no size")?);
        let mut said = vec![0; size.parse::<usize>()? + 2];
        from.read_exact(&mut said).await?;
        let size = said.len() - 2;
        // What is no packet and no beat is carried as it is.
        if lock(loses).pass(subject, &mut said[..size]).unwrap_or(true) {
            to.write_all(&line).await?;
            to.write_all(&said).await?;
        }
    }
}
