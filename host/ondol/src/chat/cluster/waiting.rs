//! Frames that wait for a room's home while the bus is away: their senders do not wait for ever. The home may be alive all the
//! while, so what it was handed can be stored, and only of the others is known that they are not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Hosts;
use super::unsettled::Unsettled;
use crate::chat::open_rooms::OpenRooms;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks for as long as the process runs.
pub(super) async fn run(hosts: Arc<Hosts>, rooms: Arc<OpenRooms>) {
    let wait_max = Duration::from_millis(hosts.pipeline.limits.bus_wait_ms);
    loop {
        sleep(LOOK_EVERY).await;
        // What came while the bus was there waits for its home alone, however long that takes.
        if hosts.bus.is_echoing() || hosts.bus.echo_age() < wait_max {
            continue;
        }
        for room in rooms.all() {
            let Some(link) = &room.link else { continue };
            let late = late(&mut link.state().unsettled, wait_max);
            for unsettled in late {
                unsettled.give_up();
            }
        }
    }
}

/// Takes out what has waited too long. They are in the order in which they came.
fn late(unsettled: &mut VecDeque<Unsettled>, wait_max: Duration) -> Vec<Unsettled> {
    let count = unsettled.iter().take_while(|unsettled| unsettled.came.elapsed() >= wait_max).count();
    unsettled.drain(..count).collect()
}
