//! A member that says more than anyone waits for, and reads all that comes back. The server may slow it, and must refuse
//! nothing of it.

use std::future::pending;

use anyhow::{Error, anyhow};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::OwnedReadHalf,
    task::JoinHandle,
};

use crate::{Frame, RawSocket, TestResult};

/// What no answer to a flood may contain.
const ERROR: &[u8] = br#""type":"error""#;

/// How many frames are written at once.
const AT_ONCE: usize = 50;

/// The member. It stays until the story ends.
#[derive(Debug)]
pub struct Flood {
    reading: JoinHandle<Error>,
    writing: JoinHandle<Error>,
}

impl Flood {
    /// Lets `user` come into a room, and say `text` so many times, as fast as the server reads.
    ///
    /// # Errors
    /// When it cannot come in.
    pub async fn start(address: &str, room: u64, user: &str, count: usize, text: &str) -> TestResult<Self> {
        let mut socket = RawSocket::connect(address).await?;
        socket.upgrade(room, user).await?;
        let (reading, mut writing) = socket.into_stream().into_split();
        let frame = Frame::saying(text).bytes();
        let write = async move {
            let mut left = count;
            while left > 0 {
                let now = left.min(AT_ONCE);
                if let Err(error) = writing.write_all(&frame.repeat(now)).await {
                    return anyhow!("a flood was cut with {left} messages left: {error}");
                }
                left -= now;
            }
            pending().await
        };
        Ok(Self { reading: tokio::spawn(read(reading)), writing: tokio::spawn(write) })
    }

    /// Waits for what a story waits for, while the flood goes on.
    ///
    /// # Errors
    /// When something of the flood is refused, its connection ends, or the story's part fails.
    pub async fn beside(&mut self, heard: impl Future<Output = TestResult>) -> TestResult {
        tokio::select! {
            heard = heard => heard,
            refused = &mut self.reading => Err(refused?),
            cut = &mut self.writing => Err(cut?),
        }
    }
}

/// Reads until something was refused.
async fn read(mut reading: OwnedReadHalf) -> Error {
    let (mut chunk, mut recent) = (vec![0; 65_536], Vec::new());
    loop {
        let read = match reading.read(&mut chunk).await {
            Ok(0) => return anyhow!("the connection of a flood has ended"),
            Ok(read) => read,
            Err(error) => return anyhow!("the connection of a flood is broken: {error}"),
        };
        recent.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if let Some(at) = recent.windows(ERROR.len()).position(|bytes| bytes == ERROR) {
            let end = recent.len().min(at + 300);
            let answer = String::from_utf8_lossy(recent.get(at..end).unwrap_or_default()).into_owned();
            return anyhow!("a message of a flood was refused: {answer}");
        }
        let begun = recent.len().saturating_sub(ERROR.len());
        recent.drain(..begun);
    }
}
