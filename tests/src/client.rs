//! A member of a room: sends messages and expects events. Knows the frames of the API; uses a WebSocket library.

use anyhow::{Context, Result, anyhow, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Bytes, Error, Message, client::IntoClientRequest, http::HeaderName, http::HeaderValue},
};

use crate::{deadline::within, http::Answer, user::User};

/// One connection of a user to a room.
#[derive(Debug)]
pub struct Client {
    /// Its name in failures.
    pub name: String,
    socket: WebSocketStream<TcpStream>,
}

/// What a client received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A text frame.
    Text(String),
    /// A binary frame, which the server never sends.
    Binary(Vec<u8>),
    /// A ping.
    Ping,
    /// A pong with its content.
    Pong(Vec<u8>),
    /// A close with code and reason. 1005 when the server gave none.
    Close(u16, String),
    /// The connection ended without a close.
    Gone,
}

/// A client that was accepted, or the answer that refused it.
pub enum Knock {
    /// Accepted.
    In(Box<Client>),
    /// Refused.
    Out(Answer),
}

impl Client {
    /// Opens `target` at `address` with additional headers.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn knock(address: &str, target: &str, name: &str, headers: &[(&str, &str)]) -> Result<Knock> {
        let mut request = format!("ws://{address}{target}").into_client_request()?;
        for (key, value) in headers {
            request.headers_mut().append(HeaderName::from_bytes(key.as_bytes())?, HeaderValue::from_str(value)?);
        }
        let stream = within("a connection", TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        match within(format!("a handshake for {name}"), client_async(request, stream)).await? {
            Ok((socket, _)) => Ok(Knock::In(Box::new(Self { name: name.into(), socket }))),
            Err(Error::Http(answer)) => {
                let (head, body) = (*answer).into_parts();
                let headers = head
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                    .collect();
                Ok(Knock::Out(Answer { status: head.status.as_u16(), headers, body: body.unwrap_or_default() }))
            }
            Err(other) => Err(other).with_context(|| format!("the handshake of {name}")),
        }
    }

    /// Opens a tab of `user` in `room`. Waits for no event.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn open(address: &str, room: u64, user: &User) -> Result<Self> {
        let target = format!("/ws/chat/{room}/chat/?{}", user.query());
        match Self::knock(address, &target, &user.nickname, &[]).await? {
            Knock::In(client) => Ok(*client),
            Knock::Out(answer) => bail!("{} was kept out: {answer}", user.nickname),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn say(&mut self, text: &str) -> Result<()> {
        self.send(json!({"type": "chat.message", "message": text}).to_string()).await
    }

    /// Sends a text frame as it is.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, text: impl Into<String>) -> Result<()> {
        self.send_message(Message::text(text.into())).await
    }

    /// Sends a binary frame.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send_binary(&mut self, bytes: &[u8]) -> Result<()> {
        self.send_message(Message::binary(bytes.to_vec())).await
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<()> {
        self.send_message(Message::Ping(Bytes::copy_from_slice(payload))).await
    }

    async fn send_message(&mut self, message: Message) -> Result<()> {
        let sent = within("the server to read", self.socket.send(message)).await?;
        sent.with_context(|| format!("{} cannot send", self.name))
    }

    /// Closes from this side and waits for the server's answer.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn leave(mut self) -> Result<()> {
        let _ = self.socket.close(None).await;
        while !matches!(self.next().await?, Heard::Close(..) | Heard::Gone) {}
        Ok(())
    }

    /// The next frame.
    ///
    /// # Errors
    /// When nothing comes in time.
    pub async fn next(&mut self) -> Result<Heard> {
        let heard = within(format!("a frame for {}", self.name), self.socket.next()).await?;
        Ok(match heard {
            Some(Ok(Message::Text(text))) => Heard::Text(text.to_string()),
            Some(Ok(Message::Binary(bytes))) => Heard::Binary(bytes.to_vec()),
            Some(Ok(Message::Ping(_))) => Heard::Ping,
            Some(Ok(Message::Pong(bytes))) => Heard::Pong(bytes.to_vec()),
            Some(Ok(Message::Close(Some(frame)))) => Heard::Close(frame.code.into(), frame.reason.to_string()),
            Some(Ok(Message::Close(None))) => Heard::Close(1005, String::new()),
            Some(Ok(Message::Frame(_)) | Err(_)) | None => Heard::Gone,
        })
    }

    /// The next text frame. Pings and pongs are skipped.
    ///
    /// # Errors
    /// When the connection closes first.
    pub async fn next_text(&mut self) -> Result<String> {
        loop {
            match self.next().await? {
                Heard::Text(text) => return Ok(text),
                Heard::Ping | Heard::Pong(_) => {}
                other => bail!("{} expected a text frame, got {other:?}", self.name),
            }
        }
    }

    /// The next text frame as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub async fn next_json(&mut self) -> Result<Value> {
        let text = self.next_text().await?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} received something that is not JSON: {text}", self.name))
    }

    /// The next chat message, with any text. Joins and leaves are skipped.
    ///
    /// # Errors
    /// When an error event, or nothing, comes.
    pub async fn next_message(&mut self) -> Result<Value> {
        loop {
            let frame = self.next_json().await?;
            match frame["type"].as_str().unwrap_or_default() {
                "chat.message" => return Ok(frame),
                "chat.user.join" | "chat.user.leave" => {}
                _ => bail!("{} expected a message, got {frame}", self.name),
            }
        }
    }

    /// Expects the message `text` next, and returns its frame.
    ///
    /// # Errors
    /// When another message, an error event or nothing comes.
    pub async fn expect_message(&mut self, text: &str) -> Result<Value> {
        let frame = self.next_message().await.with_context(|| format!("expected the message {text:?}"))?;
        ensure!(frame["message"] == text, "{} expected the message {text:?}, got {frame}", self.name);
        Ok(frame)
    }

    /// Expects exactly this frame next.
    ///
    /// # Errors
    /// When another one comes.
    pub async fn expect_exactly(&mut self, frame: &str) -> Result<()> {
        let heard = self.next_text().await?;
        ensure!(heard == frame, "{} expected {frame}\n got {heard}", self.name);
        Ok(())
    }

    /// Expects an event of this type next, and returns it.
    ///
    /// # Errors
    /// When another one comes.
    pub async fn expect_event(&mut self, kind: &str) -> Result<Value> {
        let frame = self.next_json().await?;
        ensure!(frame["type"] == kind, "{} expected the event {kind:?}, got {frame}", self.name);
        Ok(frame)
    }

    /// Expects that `username` joins.
    ///
    /// # Errors
    /// When something else comes.
    pub async fn expect_join(&mut self, username: &str) -> Result<()> {
        self.expect_exactly(&format!(r#"{{"type":"chat.user.join","username":{}}}"#, Value::from(username))).await
    }

    /// Waits until `username` has joined. Leaves are skipped: a client that was dropped leaves when the server notices.
    ///
    /// # Errors
    /// When something else comes.
    pub async fn await_join(&mut self, username: &str) -> Result<()> {
        loop {
            let frame = self.next_json().await?;
            match frame["type"].as_str() {
                Some("chat.user.leave") => {}
                Some("chat.user.join") if frame["username"] == username => return Ok(()),
                _ => bail!("{} expected the join of {username:?}, got {frame}", self.name),
            }
        }
    }

    /// Expects that `username` leaves.
    ///
    /// # Errors
    /// When something else comes.
    pub async fn expect_leave(&mut self, username: &str) -> Result<()> {
        self.expect_exactly(&format!(r#"{{"type":"chat.user.leave","username":{}}}"#, Value::from(username))).await
    }

    /// Expects an error event with this code next, checks its form, and returns it. Joins and leaves are skipped.
    ///
    /// # Errors
    /// When something else comes.
    pub async fn expect_error(&mut self, code: &str) -> Result<Value> {
        loop {
            let frame = self.next_json().await?;
            match frame["type"].as_str().unwrap_or_default() {
                "chat.user.join" | "chat.user.leave" => {}
                "error" => {
                    ensure!(frame["code"] == code, "{} expected the error {code:?}, got {frame}", self.name);
                    ensure!(frame["message"].as_str().is_some_and(|text| !text.is_empty()), "no message in {frame}");
                    return Ok(frame);
                }
                _ => bail!("{} expected the error {code:?}, got {frame}", self.name),
            }
        }
    }

    /// Expects a close with this code, and returns the reason. Frames before it are skipped.
    ///
    /// # Errors
    /// When it closes in another way.
    pub async fn expect_close(&mut self, code: u16) -> Result<String> {
        loop {
            match self.next().await? {
                Heard::Close(number, reason) if number == code => return Ok(reason),
                other @ (Heard::Close(..) | Heard::Gone) => {
                    bail!("{} expected the close code {code}, got {other:?}", self.name)
                }
                _ => {}
            }
        }
    }

    /// Sends `marker`, and expects nothing at all before it: so nothing was in flight.
    ///
    /// # Errors
    /// When something comes first.
    pub async fn expect_nothing_before(&mut self, marker: &str) -> Result<Value> {
        self.say(marker).await?;
        let frame = self.next_json().await?;
        ensure!(frame["message"] == marker, "{} expected nothing before {marker:?}, got {frame}", self.name);
        Ok(frame)
    }

    /// The same after one message of another member, which it expects first.
    ///
    /// # Errors
    /// When something else comes.
    pub async fn expect_nothing_before_but(&mut self, message: &str, marker: &str) -> Result<Value> {
        let frame = self.expect_event("chat.message").await?;
        ensure!(frame["message"] == message, "{} expected {message:?}, got {frame}", self.name);
        self.expect_nothing_before(marker).await
    }
}

impl Knock {
    /// The answer that refused the client.
    ///
    /// # Errors
    /// When it was accepted.
    pub fn refused(self) -> Result<Answer> {
        match self {
            Self::Out(answer) => Ok(answer),
            Self::In(client) => Err(anyhow!("{} was accepted", client.name)),
        }
    }

    /// The accepted client.
    ///
    /// # Errors
    /// When it was refused.
    pub fn opened(self) -> Result<Client> {
        match self {
            Self::In(client) => Ok(*client),
            Self::Out(answer) => Err(anyhow!("refused: {answer}")),
        }
    }
}
