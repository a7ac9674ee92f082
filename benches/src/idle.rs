//! The resident memory of an idle connection in a room.

use crate::cli::Run;
use crate::clients::Clients;
use crate::process::resident_kib;
use crate::report::Figure;
use crate::server::Server;

/// Members of each room.
const MEMBERS: usize = 50;

pub(crate) fn measure(run: &Run) -> anyhow::Result<Vec<Figure>> {
    let (setup, rooms) = (run.setup(), if run.quick { 20 } else { 200 });
    [Server::ondol(&setup)?, Server::plain(&setup)?].into_iter().map(|server| measure_server(server, rooms)).collect()
}

fn measure_server(mut server: Server, rooms: usize) -> anyhow::Result<Figure> {
    let mut join = |rooms| -> anyhow::Result<_> {
        let mut clients = Clients::join(server.address, server.new_rooms(rooms)?, MEMBERS, 0)?;
        clients.settle()?;
        Ok((clients, resident_kib(server.pid)?))
    };
    // A first room takes what the server allocates only once.
    let (_first, before) = join(1)?;
    let (_clients, after) = join(rooms)?;
    let connections = rooms * MEMBERS;
    Ok(Figure {
        measure: "idle connection",
        subject: server.name.to_owned(),
        value: format!("{:.1} KiB", after.saturating_sub(before) as f64 / connections as f64),
        detail: format!("{connections} connections in rooms of {MEMBERS}; {after} KiB resident in all"),
    })
}
