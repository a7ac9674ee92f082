//! How long a server takes from its start to its first delivery.

use std::time::{Duration, Instant};

use crate::cli::Run;
use crate::clients::Clients;
use crate::driver::{Driver, Pace};
use crate::report::Figure;
use crate::server::{Server, scratch};
use crate::statistics::spread;

/// Each round starts Ondol in an empty directory, Ondol again where it has compiled its handlers, and the plain server.
pub(crate) fn measure(run: &Run) -> anyhow::Result<Vec<Figure>> {
    let setup = run.setup();
    let (mut first_ms, mut again_ms, mut plain_ms) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..run.rounds() {
        let empty = scratch(&setup.scratch)?;
        let first = first_delivery(&mut first_ms, || Server::ondol_in(&setup, empty))?;
        let directory = first.end();
        first_delivery(&mut again_ms, || Server::ondol_in(&setup, directory))?;
        first_delivery(&mut plain_ms, || Server::plain(&setup))?;
    }
    let figure = |subject, ms: &[f64]| {
        let value = format!("{} ms", spread(ms, 0));
        Figure::new("start", subject, value, "from exec to the first delivery".to_owned())
    };
    Ok(vec![
        figure("ondol, compiling its handlers", &first_ms),
        figure("ondol, compiled before", &again_ms),
        figure("plain", &plain_ms),
    ])
}

fn first_delivery(ms: &mut Vec<f64>, start: impl FnOnce() -> anyhow::Result<Server>) -> anyhow::Result<Server> {
    let began = Instant::now();
    let mut server = start()?;
    let mut clients = Clients::join(server.address, server.new_rooms(1)?, 1, 1)?;
    let mut driver = Driver::start(&mut clients, Pace::Closed(1))?;
    while driver.clients.deliveries() == 0 {
        driver.run_for(Duration::from_millis(1))?;
    }
    ms.push(began.elapsed().as_secs_f64() * 1e3);
    driver.finish()?;
    Ok(server)
}
