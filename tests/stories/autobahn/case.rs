//! One case: what is sent in which pieces, and what comes back, in this order and nothing else.

use anyhow::{Context as _, bail, ensure};
use ondol_tests::{Frame, RawSocket, Setup, TestResult};
use serde_json::Value;

/// A case under its number.
pub(super) struct Case {
    number: String,
    steps: Vec<Step>,
}

enum Step {
    Send(Vec<u8>),
    Message(String),
    Error(&'static str),
    Pong(Vec<u8>),
    /// A close with this code, and nothing after it.
    Close(u16),
}

impl Case {
    pub(super) fn new(number: &str) -> Self {
        Self { number: number.to_owned(), steps: Vec::new() }
    }

    /// Sends frames in one piece.
    pub(super) fn sends(self, frames: impl IntoIterator<Item = Frame>) -> Self {
        self.chopped(usize::MAX, frames)
    }

    /// Sends frames each in a piece of its own.
    pub(super) fn frame_by_frame(self, frames: impl IntoIterator<Item = Frame>) -> Self {
        frames.into_iter().fold(self, |case, frame| case.sends([frame]))
    }

    /// Sends frames in pieces of `size` bytes, wherever the frames end.
    pub(super) fn chopped(self, size: usize, frames: impl IntoIterator<Item = Frame>) -> Self {
        let bytes: Vec<u8> = frames.into_iter().flat_map(|frame| frame.bytes()).collect();
        bytes.chunks(size).fold(self, |case, piece| case.step(Step::Send(piece.to_vec())))
    }

    /// Hears the event of a chat message.
    pub(super) fn hears_message(self, text: &str) -> Self {
        self.step(Step::Message(text.to_owned()))
    }

    /// Hears an error event, which leaves the socket open.
    pub(super) fn hears_error(self, code: &'static str) -> Self {
        self.step(Step::Error(code))
    }

    pub(super) fn hears_pong(self, payload: impl AsRef<[u8]>) -> Self {
        self.step(Step::Pong(payload.as_ref().to_vec()))
    }

    /// Hears a close with this code, then the end of the connection.
    pub(super) fn fails(self, code: u16) -> Self {
        self.step(Step::Close(code))
    }

    /// Closes, and hears the answer to that.
    pub(super) fn closes(self) -> Self {
        self.sends([Frame::new(Frame::CLOSE, 1000_u16.to_be_bytes())]).fails(1000)
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    async fn run(&self, mut socket: RawSocket, room: u64) -> TestResult {
        socket.upgrade(room, "raw").await?;
        for step in &self.steps {
            match step {
                Step::Send(bytes) => socket.send(bytes).await?,
                Step::Message(text) => {
                    let event = event(&mut socket).await?;
                    ensure!(event["type"] == "chat.message" && event["message"] == **text, "{event}, not {text:?}");
                }
                Step::Error(code) => {
                    let event = event(&mut socket).await?;
                    ensure!(event["type"] == "error" && event["code"] == **code, "{event}, not the error {code}");
                }
                Step::Pong(payload) => {
                    let frame = socket.read_frame().await?.context("the connection ended before a pong")?;
                    ensure!(
                        frame.opcode == Frame::PONG && frame.payload == *payload,
                        "{frame:?}, not a pong of {payload:?}"
                    );
                }
                Step::Close(code) => {
                    let frame = socket.read_frame().await?.context("the connection ended before a close")?;
                    let given = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    ensure!(frame.opcode == Frame::CLOSE && given == Some(*code), "{frame:?}, not the close {code}");
                    let rest = socket.expect_end().await?;
                    ensure!(rest.is_empty(), "{rest:?} after the close");
                }
            }
        }
        Ok(())
    }
}

/// The next frame, which has to be an event.
async fn event(socket: &mut RawSocket) -> TestResult<Value> {
    let frame = socket.read_frame().await?.context("the connection ended before an event")?;
    ensure!(frame.fin && frame.reserved == 0 && frame.opcode == Frame::TEXT, "{frame:?}, not an event");
    Ok(serde_json::from_slice(&frame.payload)?)
}

/// Runs cases one after another, each on a connection of its own, and reports all that go another way.
pub(super) async fn run(setup: Setup, cases: Vec<Case>) -> TestResult {
    let server = setup.setting("events", "announce", "nothing").start().await?;
    let room = server.create_room("lobby").await?;
    let mut failed = Vec::new();
    for case in &cases {
        if let Err(error) = case.run(server.raw().await?, room).await {
            failed.push(format!("{}: {error:#}", case.number));
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} cases failed:\n{}", failed.len(), cases.len(), failed.join("\n"));
    }
    server.get("/healthz").await?.expect(200)?;
    Ok(())
}
