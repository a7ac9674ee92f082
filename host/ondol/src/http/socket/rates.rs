//! The rates of one connection: which frames come too fast, who hears of it, and who is closed. A frame that is too fast is
//! dropped before anything looks at it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::Message;

use super::Session;
use crate::chat::{client_id, rate_limited, send};
use crate::http::figures::SocketEnd;
use crate::http::rates::{Bucket, Rate, TooFast};
use crate::http::state::ApiState;
use ondol_host_model::{Frame, User};

/// The buckets of a connection, and how its client takes a refusal.
pub(super) struct ConnectionRates {
    frames: Option<Bucket>,
    bytes: Option<Bucket>,
    /// Shared with the user's other connections.
    messages: Option<Arc<Bucket>>,
    refusals: Refusals,
}

/// The refusals since the client last waited.
struct Refusals {
    max: usize,
    count: usize,
    last: Instant,
    /// How long the client has to wait, as the last event says.
    wait: Duration,
    /// When that was.
    event: Instant,
}

/// What a refusal leads to.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Event,
    Silence,
    Close,
}

impl ConnectionRates {
    pub(super) fn new(state: &ApiState, user: &User) -> Self {
        let rates = &state.rates;
        let own = |rate: &Option<Arc<Rate>>| rate.as_ref().map(Bucket::new);
        Self {
            frames: own(&rates.frames),
            bytes: own(&rates.bytes),
            messages: rates.messages_of(user),
            refusals: Refusals::new(state.limits.frames_refused_max, Instant::now()),
        }
    }

    /// Takes the tokens for a frame. Those that are shared come last: a frame that the connection's own rates refuse costs the
    /// user's other connections nothing.
    fn take(&self, bytes: usize, is_message: bool) -> Result<(), TooFast> {
        let take = |bucket: Option<&Bucket>, tokens| bucket.map_or(Ok(()), |bucket| bucket.take(tokens));
        take(self.frames.as_ref(), 1)?;
        take(self.bytes.as_ref(), bytes)?;
        take(self.messages.as_deref().filter(|_| is_message), 1)
    }
}

impl Refusals {
    fn new(max: usize, now: Instant) -> Self {
        Self { max, count: 0, last: now, wait: Duration::ZERO, event: now }
    }

    /// A frame has passed. A client that was silent for as long as it was asked to starts afresh; one that goes on sending has
    /// some frames pass as well.
    fn end(&mut self, now: Instant) {
        if now.duration_since(self.last) >= self.wait {
            self.count = 0;
        }
    }

    /// A frame was refused. The client hears of it once until it may send again, or events would add to the flood.
    fn add(&mut self, wait: Duration, now: Instant) -> Refusal {
        self.end(now);
        self.count += 1;
        self.last = now;
        if self.count > self.max {
            return Refusal::Close;
        }
        if self.count > 1 && now.duration_since(self.event) < self.wait {
            return Refusal::Silence;
        }
        (self.wait, self.event) = (wait, now);
        Refusal::Event
    }
}

impl Session {
    /// Whether a frame is dropped because it comes too fast. A client that keeps on gets a close frame.
    pub(super) fn is_too_fast(&mut self, frame: &Message) -> bool {
        let Some(rates) = &mut self.rates else { return false };
        let is_message = matches!(frame, Message::Text(_) | Message::Binary(_));
        // A pong costs nothing, and a close is no message.
        if !is_message && !matches!(frame, Message::Ping(_)) {
            return false;
        }
        let Err(error) = rates.take(frame.len(), is_message) else {
            if rates.refusals.count > 0 {
                rates.refusals.end(Instant::now());
            }
            return false;
        };
        match rates.refusals.add(Duration::from_millis(error.wait_ms()), Instant::now()) {
            Refusal::Event => {
                let client_id = match frame {
                    Message::Text(text) => client_id(Frame::Text(text.as_str())),
                    _ => None,
                };
                send(&self.outbox, &rate_limited(&error.to_string(), client_id.as_deref(), error.wait_ms()));
            }
            Refusal::Silence => {}
            Refusal::Close => {
                let (limit, max) = (error.limit, rates.refusals.max);
                let reason = format!("frames_refused_max = {max} frames came faster than {limit}");
                self.close_with(SocketEnd::RateLimited, 1008, reason);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(1);

    /// Refusals of at most three, and their clock.
    fn refusals() -> (Refusals, impl Fn(u64) -> Instant) {
        let begin = Instant::now();
        (Refusals::new(3, begin), move |ms| begin + Duration::from_millis(ms))
    }

    #[test]
    fn a_client_that_goes_on_hears_once_and_is_closed() {
        let (mut refusals, at) = refusals();
        assert_eq!(refusals.add(WAIT, at(0)), Refusal::Event);
        assert_eq!(refusals.add(WAIT, at(1)), Refusal::Silence);
        assert_eq!(refusals.add(WAIT, at(999)), Refusal::Silence);
        // The bucket has a token again, which a client that waits for nothing takes.
        refusals.end(at(1_000));
        assert_eq!(refusals.add(WAIT, at(1_001)), Refusal::Close);
    }

    #[test]
    fn a_client_that_waits_as_long_as_it_is_asked_to_is_never_closed() {
        let (mut refusals, at) = refusals();
        for round in 0..100 {
            let begin = round * 2_000;
            assert_eq!(refusals.add(WAIT, at(begin)), Refusal::Event, "{round}");
            assert_eq!(refusals.add(WAIT, at(begin + 10)), Refusal::Silence, "what was on its way");
            if round % 2 == 0 {
                refusals.end(at(begin + 1_010));
            }
        }
    }

    #[test]
    fn a_client_that_goes_on_hears_again_once_the_time_has_passed() {
        let (mut refusals, at) = refusals();
        assert_eq!(refusals.add(WAIT, at(0)), Refusal::Event);
        assert_eq!(refusals.add(WAIT, at(900)), Refusal::Silence);
        assert_eq!(refusals.add(WAIT, at(1_100)), Refusal::Event);
    }
}
