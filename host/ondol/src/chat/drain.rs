//! How the connections of a server that stops are closed: one after another, and each with the time after which to come back.
//! So neither the others of a room nor the next server meet all of them at once. Knows outboxes and times.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Chat, SHUTTING_DOWN};
use ondol_host_rooms::{Outbox, Request};

/// The going away of RFC 6455, section 7.4.1.
const GOING_AWAY: u16 = 1001;

/// How many connections leave in a second, and how many are asked back in one.
const PER_SECOND: u32 = 2_000;

/// Those of one wave are closed together: their room hears of them in one write.
const WAVE: Duration = Duration::from_millis(50);

/// How long the next server takes to start, as clients are told.
const START: Duration = Duration::from_millis(250);

/// When clients are to come back.
struct Schedule {
    /// When the last connection is closed.
    end: Instant,
    /// Over how long they come back.
    spread: Duration,
    count: u32,
}

impl Schedule {
    fn new(count: usize, now: Instant, time_max: Duration) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let spread = Duration::from_secs(1) * count / PER_SECOND;
        Self { end: now + spread.min(time_max), spread, count }
    }

    /// How long the one at this index is to stay away. They come back in the order in which they go, evenly spread.
    fn wait(&self, index: usize, now: Instant) -> Duration {
        let place = u32::try_from(index).unwrap_or(u32::MAX).min(self.count);
        self.end.saturating_duration_since(now) + START + self.spread * place / self.count.max(1)
    }
}

/// The reason in a close frame that asks the client to come back after `wait`.
fn going_away(wait: Duration) -> String {
    format!("{SHUTTING_DOWN}; retry_after_ms={}", wait.as_millis())
}

/// The same for a client that is in no room yet.
pub(crate) fn going_away_outside() -> String {
    going_away(START)
}

impl Chat {
    /// Closes every connection, each once the frames that it sent have their replies, within about `time_max`. Rooms go on for
    /// those that are still connected.
    pub async fn drain(&self, time_max: Duration) {
        let outboxes = self.outboxes();
        let begin = Instant::now();
        let schedule = Schedule::new(outboxes.len(), begin, time_max);
        let time = schedule.end - begin;
        let waves = usize::try_from(time.as_millis() / WAVE.as_millis()).unwrap_or(usize::MAX).max(1);
        let mut index = 0;
        for wave in 0..waves {
            // Some of every room: none loses its members in one moment.
            for outbox in outboxes.iter().skip(wave).step_by(waves) {
                outbox.request(Request::Close(GOING_AWAY, going_away(schedule.wait(index, Instant::now()))));
                index += 1;
            }
            let passed = u32::try_from(wave + 1).unwrap_or(u32::MAX);
            sleep_until(begin + time * passed / u32::try_from(waves).unwrap_or(u32::MAX)).await;
        }
    }

    /// Commits and publishes what was accepted and closes the store, then closes every connection.
    pub async fn close(&self) {
        if let Some(hosts) = &self.hosts {
            hosts.begin_to_leave();
        }
        self.pipeline.close().await;
        if let Some(hosts) = &self.hosts {
            hosts.leave().await;
        }
        let outboxes = self.outboxes();
        let now = Instant::now();
        let schedule = Schedule::new(outboxes.len(), now, Duration::ZERO);
        for (index, outbox) in outboxes.iter().enumerate() {
            outbox.close(GOING_AWAY, &going_away(schedule.wait(index, now)));
        }
    }

    /// Every connection that is in a room.
    fn outboxes(&self) -> Vec<Arc<Outbox>> {
        self.rooms.all().iter().flat_map(|room| room.members.outboxes().to_vec()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_asked_back_one_after_another_once_all_have_left() {
        let now = Instant::now();
        let schedule = Schedule::new(4_000, now, Duration::from_secs(1));
        let ms = |index, later| schedule.wait(index, now + Duration::from_millis(later)).as_millis();
        assert_eq!([ms(0, 0), ms(2_000, 500), ms(4_000, 1_000)], [1_250, 1_750, 2_250]);
        assert_eq!(ms(4_000, 5_000), 2_250);
    }

    #[test]
    fn few_clients_are_asked_back_at_once() {
        let now = Instant::now();
        for (count, time_max) in [(1, Duration::from_secs(10)), (0, Duration::ZERO)] {
            assert!(Schedule::new(count, now, time_max).wait(0, now) <= START + Duration::from_millis(1));
        }
        assert_eq!(going_away(START), "the server is shutting down; retry_after_ms=250");
    }
}
