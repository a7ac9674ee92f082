//! The one client that sets a hostile handler off, again and again, and hears what it gets for that. Knows nothing of what
//! the handler does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};

use crate::wire::{self, CLOSE, PING, TEXT};

/// A call that brings no answer in so long brings none.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two looks at the socket.
const LOOK: Duration = Duration::from_micros(200);

/// A connection that says one word.
pub(crate) struct Villain {
    stream: TcpStream,
    carry: Vec<u8>,
    frame: Vec<u8>,
    said: u64,
    heard: u64,
    last: String,
}

impl Villain {
    /// Joins a room that nobody else is in.
    pub(crate) fn join(server: SocketAddr, room: u64, word: &str) -> anyhow::Result<Self> {
        let target = format!("/ws/chat/{room}/chat/?user_id=villain&nickname=villain&email=villain%40example.com");
        let (stream, carry) = wire::answered(wire::ask(server, &target)?)?;
        let text = serde_json::json!({"type": "chat.message", "message": word}).to_string();
        let mut frame = Vec::new();
        wire::put_text(&mut frame, text.as_bytes());
        Ok(Self { stream, carry, frame, said: 0, heard: 0, last: "nothing".to_owned() })
    }

    /// Says the word and waits for what comes of it.
    pub(crate) fn call(&mut self) -> anyhow::Result<()> {
        let before = self.heard;
        let began = Instant::now();
        self.say()?;
        while self.heard == before {
            ensure!(began.elapsed() < ANSWER_TIME_MAX, "no answer to the call");
            std::thread::sleep(LOOK);
            self.hear()?;
        }
        Ok(())
    }

    fn say(&mut self) -> anyhow::Result<()> {
        match self.stream.write(&self.frame) {
            Ok(written) if written < self.frame.len() => bail!("half a frame was taken"),
            Ok(_) => {
                self.said += 1;
                Ok(())
            }
            // It is read slowly, so it has to wait.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("the villain cannot send"),
        }
    }

    /// Takes in what has come. Joins are no answers.
    fn hear(&mut self) -> anyhow::Result<()> {
        let mut chunk = [0; 65_536];
        match self.stream.read(&mut chunk) {
            Ok(0) => bail!("the server closed the villain's connection"),
            Ok(count) => self.carry.extend(chunk.iter().take(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("the villain cannot receive"),
        }
        let bytes = std::mem::take(&mut self.carry);
        let mut rest = bytes.as_slice();
        let mut pong = Vec::new();
        while let Some(frame) = wire::next_frame(rest)? {
            match frame.opcode {
                TEXT => self.take(frame.payload)?,
                PING => wire::put_pong(&mut pong, frame.payload),
                CLOSE => bail!("the server closed the villain's connection"),
                _ => {}
            }
            rest = frame.rest;
        }
        self.carry = rest.to_vec();
        Ok(self.stream.write_all(&pong)?)
    }

    fn take(&mut self, event: &[u8]) -> anyhow::Result<()> {
        let event: serde_json::Value = serde_json::from_slice(event).context("the villain heard what is no JSON")?;
        let text = |key: &str| event.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        match text("type").as_str() {
            "chat.user.join" | "chat.user.leave" => return Ok(()),
            "error" => self.last = format!("the error `{}`", text("code")),
            _ => self.last = format!("“{}” from {}", text("message"), text("sender").replace("@example.com", "")),
        }
        self.heard += 1;
        Ok(())
    }
}

/// A villain on a thread of its own, that can be told to be loud or quiet.
pub(crate) struct Loud {
    is_loud: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Villain>>,
}

impl Loud {
    /// Quiet at first; when loud it says its word `every` so often, once it has heard what came of the last: what would wait
    /// in its socket would go on after it was told to be quiet.
    pub(crate) fn start(mut villain: Villain, every: Duration) -> Self {
        let (is_loud, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (speak, end) = (Arc::clone(&is_loud), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                if speak.load(Ordering::Relaxed) && villain.heard >= villain.said {
                    villain.say()?;
                }
                std::thread::sleep(every);
                villain.hear()?;
            }
            Ok(villain)
        });
        Self { is_loud, ended, thread }
    }

    /// The same, but when it is loud it says nothing and takes a CPU instead: `busy` long, then no longer for a `rest`.
    pub(crate) fn spin(mut villain: Villain, busy: Duration, rest: Duration) -> Self {
        let (is_loud, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (speak, end) = (Arc::clone(&is_loud), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let began = Instant::now();
                while speak.load(Ordering::Relaxed) && began.elapsed() < busy {
                    std::hint::spin_loop();
                }
                std::thread::sleep(rest);
                villain.hear()?;
            }
            Ok(villain)
        });
        Self { is_loud, ended, thread }
    }

    /// Loud or quiet from now on.
    pub(crate) fn set(&self, is_loud: bool) {
        self.is_loud.store(is_loud, Ordering::Relaxed);
    }

    /// Ends it: how many answers it got, and the last of them.
    pub(crate) fn end(self) -> anyhow::Result<(u64, String)> {
        self.ended.store(true, Ordering::Relaxed);
        let villain = self.thread.join().map_err(|_| anyhow!("the villain panicked"))??;
        Ok((villain.heard, villain.last))
    }
}
