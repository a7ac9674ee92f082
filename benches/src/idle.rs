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
        let clients = Clients::join(server.address, server.new_rooms(rooms)?, MEMBERS, 0)?;
        Ok((clients, resident_kib(server.pid)?))
    };
    // A first room takes what the server allocates only once.
    let (_first, before) = join(1)?;
    let (_clients, after) = join(rooms)?;
    let connections = rooms * MEMBERS;
    let each = after.saturating_sub(before) as f64 / connections as f64;
    let detail = format!("{connections} connections in rooms of {MEMBERS}; {after} KiB resident in all");
    Ok(Figure::new("idle connection", server.name, format!("{each:.1} KiB"), detail))
}
