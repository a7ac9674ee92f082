//! What an idle connection in a room costs in memory.

use crate::crowd::Crowd;
use crate::kernel::resident_kib;
use crate::report::Figure;
use crate::server::Server;

/// Members of each room.
const MEMBERS: usize = 50;

/// Opens so many connections and gives what each added to the server's resident memory. A first room is there before,
/// so that what the server takes once is not counted.
pub(crate) fn measure(server: &mut Server, connections: usize) -> anyhow::Result<Figure> {
    let mut first = Crowd::gather(server.address, &server.new_rooms(1)?, MEMBERS, 0)?;
    first.settle()?;
    let before = resident_kib(server.pid)?;

    let rooms = server.new_rooms(connections / MEMBERS)?;
    let mut crowd = Crowd::gather(server.address, &rooms, MEMBERS, 0)?;
    crowd.settle()?;
    let after = resident_kib(server.pid)?;
    Ok(Figure {
        measure: "idle connection",
        server: server.name.clone(),
        value: after.saturating_sub(before) as f64 / (rooms.len() * MEMBERS) as f64,
        unit: "KiB resident",
        tells: format!("{connections} connections in rooms of {MEMBERS}; {after} KiB in all"),
    })
}
