//! A TCP connection for bytes that no library would send. Knows the form of HTTP answers and WebSocket frames, and
//! checks only what it is asked to.

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{deadline::within, http::Answer, user::User};

/// The example key of RFC 6455, section 1.3, and its answer.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// The server's answer to [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A connection, and the bytes that were read from it and not used yet.
#[derive(Debug)]
pub struct RawSocket {
    stream: TcpStream,
    buffer: Vec<u8>,
    address: String,
    ended: bool,
}

impl RawSocket {
    /// Connects and sends nothing.
    ///
    /// # Errors
    /// When no server listens.
    pub async fn connect(address: &str) -> Result<Self> {
        let stream = within("a connection", TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), address: address.into(), ended: false })
    }

    /// Connects with a receive buffer of `bytes`, for a peer that does not read.
    ///
    /// # Errors
    /// When no server listens.
    pub async fn connect_narrow(address: &str, bytes: u32) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(bytes)?;
        let stream = within("a connection", socket.connect(address.parse()?)).await??;
        Ok(Self { stream, buffer: Vec::new(), address: address.into(), ended: false })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        within("the peer to read", self.stream.write_all(bytes.as_ref())).await??;
        Ok(())
    }

    /// Shuts the sending side, and continues to read.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn finish_sending(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    /// The connection itself, to send and read at the same time.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// The bytes of a valid handshake into `room`.
    #[must_use]
    pub fn handshake(&self, room: u64, user: impl Into<User>) -> String {
        format!(
            "GET /ws/chat/{room}/chat/?{} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
            user.into().query(),
            self.address
        )
    }

    /// Shakes hands, and checks the answer.
    ///
    /// # Errors
    /// When the server refuses, or its answer is wrong.
    pub async fn upgrade(&mut self, room: u64, user: impl Into<User>) -> Result<()> {
        self.send(self.handshake(room, user)).await?;
        let answer = self.read_answer("GET").await?;
        ensure!(answer.status == 101, "expected 101, got {answer}");
        ensure!(answer.header("sec-websocket-accept") == Some(ACCEPT), "a wrong accept: {answer}");
        Ok(())
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn send_frame(&mut self, frame: &Frame) -> Result<()> {
        self.send(frame.bytes()).await
    }

    /// Reads one frame. None when the peer has closed the connection or reset it.
    ///
    /// # Errors
    /// When there is none in time, or it is masked, as no server may send it.
    pub async fn read_frame(&mut self) -> Result<Option<Frame>> {
        let head = match self.take(2).await {
            Ok(head) => head,
            Err(_) if self.ended => return Ok(None),
            Err(silent) => return Err(silent),
        };
        let [first, second] = head.as_slice() else { bail!("a short head") };
        ensure!(second & 0x80 == 0, "the server sent a masked frame");
        let length = match second & 0x7f {
            126 => usize::from(u16::from_be_bytes(self.take(2).await?.as_slice().try_into()?)),
            127 => usize::try_from(u64::from_be_bytes(self.take(8).await?.as_slice().try_into()?))?,
            short => usize::from(short),
        };
        let payload = self.take(length).await?;
        Ok(Some(Frame {
            fin: first & 0x80 != 0,
            reserved: (first >> 4) & 7,
            opcode: first & 0x0f,
            masked: false,
            payload,
        }))
    }

    /// Reads frames until a close, checks its code, and returns its reason.
    ///
    /// # Errors
    /// When the connection ends without one, or the code is different.
    pub async fn expect_close(&mut self, code: u16) -> Result<String> {
        while let Some(frame) = self.read_frame().await? {
            if frame.opcode == Frame::CLOSE {
                let (number, reason) = frame.payload.split_at_checked(2).unwrap_or((&[0, 0], &[]));
                let number = u16::from_be_bytes(number.try_into()?);
                let reason = String::from_utf8_lossy(reason).into_owned();
                ensure!(number == code, "expected the close code {code}, got {number} {reason:?}");
                return Ok(reason);
            }
        }
        bail!("the connection ended without a close frame; expected {code}")
    }

    /// Reads text frames until one contains `part`, and returns it.
    ///
    /// # Errors
    /// When a close or the end comes first.
    pub async fn expect_text(&mut self, part: &str) -> Result<String> {
        while let Some(frame) = self.read_frame().await? {
            let text = String::from_utf8_lossy(&frame.payload).into_owned();
            ensure!(frame.opcode != Frame::CLOSE, "expected a text with {part:?}, got a close");
            if frame.opcode == Frame::TEXT && text.contains(part) {
                return Ok(text);
            }
        }
        bail!("the connection ended; expected a text with {part:?}")
    }

    /// Waits for the end of the connection, and returns the bytes before it.
    ///
    /// # Errors
    /// When the peer keeps it open.
    pub async fn expect_end(&mut self) -> Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.buffer);
        // A reset is an end as well.
        let _ = within("the connection's end", self.stream.read_to_end(&mut bytes)).await?;
        Ok(bytes)
    }

    /// Reads one HTTP answer. `method` decides whether it has a body.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn read_answer(&mut self, method: &str) -> Result<Answer> {
        let head = self.take_until(b"\r\n\r\n").await.context("no head of an answer")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?.parse()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(answer);
        }
        answer.body = match answer.header("content-length") {
            Some(length) => {
                let length = length.parse()?;
                self.take(length).await.context("the body is short")?
            }
            None if answer.header("transfer-encoding").is_some() => self.take_chunks().await?,
            None => self.expect_end().await?,
        };
        Ok(answer)
    }

    /// The bytes of a chunked body.
    async fn take_chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.take_until(b"\r\n").await?;
            let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16)?;
            let mut chunk = self.take(size + 2).await?;
            chunk.truncate(size);
            if chunk.is_empty() {
                return Ok(body);
            }
            body.append(&mut chunk);
        }
    }

    /// Exactly `count` bytes.
    async fn take(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.fill().await?;
        }
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// The bytes up to `end`, and `end` itself.
    async fn take_until(&mut self, end: &[u8]) -> Result<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return self.take(at + end.len()).await;
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<()> {
        let read = within("bytes from the server", self.stream.read_buf(&mut self.buffer)).await?;
        // A reset is an end as well.
        self.ended = read.map_or(true, |read| read == 0);
        ensure!(!self.ended, "the server closed the connection");
        Ok(())
    }
}

/// One WebSocket frame, valid or not (RFC 6455, section 5.2).
#[derive(Debug, Clone)]
pub struct Frame {
    /// Whether it ends its message.
    pub fin: bool,
    /// The three reserved bits.
    pub reserved: u8,
    /// Its opcode.
    pub opcode: u8,
    /// Whether it is sent masked, as a client has to.
    pub masked: bool,
    /// Its payload, unmasked.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A continuation of a fragmented message.
    pub const CONTINUATION: u8 = 0;
    /// Text.
    pub const TEXT: u8 = 1;
    /// Binary.
    pub const BINARY: u8 = 2;
    /// A closing handshake.
    pub const CLOSE: u8 = 8;
    /// A ping.
    pub const PING: u8 = 9;
    /// A pong.
    pub const PONG: u8 = 10;

    /// A whole and valid frame.
    #[must_use]
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self { fin: true, reserved: 0, opcode, masked: true, payload: payload.into() }
    }

    /// A chat message as one text frame.
    #[must_use]
    pub fn saying(text: &str) -> Self {
        Self::new(Self::TEXT, serde_json::json!({"type": "chat.message", "message": text}).to_string())
    }

    /// The frame as it goes on the wire.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mask = [0x1f, 0x2e, 0x3d, 0x4c];
        let mut bytes = vec![(u8::from(self.fin) << 7) | (self.reserved << 4) | self.opcode];
        let masked = u8::from(self.masked) << 7;
        match self.payload.len() {
            length @ 0..126 => bytes.push(masked | u8::try_from(length).unwrap_or(0)),
            length @ 126..65_536 => {
                bytes.push(masked | 126);
                bytes.extend(u16::try_from(length).unwrap_or(0).to_be_bytes());
            }
            length => {
                bytes.push(masked | 127);
                bytes.extend(u64::try_from(length).unwrap_or(0).to_be_bytes());
            }
        }
        if self.masked {
            bytes.extend(mask);
            bytes.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }
}
