//! Messages stored in a second: through Ondol, sockets, handlers and all, and by a loop that does nothing but insert
//! rows like them, in transactions of a fixed size, on the same disk.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rusqlite::{Connection, params};

use crate::cli::{Durability, Run};
use crate::crowd::Crowd;
use crate::echo::TEXT_BYTES;
use crate::load::{Pace, measure as measure_load};
use crate::report::{Figure, median, range};
use crate::run::told;
use crate::server::{OndolSetup, Server, scratch};

const ROOMS: usize = 100;
const IN_FLIGHT_PER_ROOM: usize = 16;

/// Both in turn, round by round. Each room has one member, so that next to nothing is spent on fan-out.
pub(crate) fn measure(run: &Run, setup: &OndolSetup) -> anyhow::Result<Vec<Figure>> {
    let mut server = Server::ondol(setup)?;
    let rooms = server.new_rooms(ROOMS)?;
    let mut crowd = Crowd::gather(server.address, &rooms, 1, 1)?;
    crowd.settle()?;
    let directory = scratch(&setup.scratch)?;
    let mut table = Table::create(&directory.path().join("plain.db"), setup.synchronous)?;

    let (mut through, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..run.rounds() {
        let measured = measure_load(&mut crowd, server.pid, Pace::Closed(IN_FLIGHT_PER_ROOM), run.spans());
        let measured = measured.with_context(|| told(&server, "durable"))?;
        through.push(measured.deliveries as f64 / measured.wall.as_secs_f64());
        plain.push(table.insert_for(run.spans().measured, run.durable_batch)?);
    }
    let ratios: Vec<_> = through.iter().zip(&plain).map(|(through, plain)| through / plain).collect();
    let (least, most) = range(&ratios);
    let figure = |server: &str, value, unit, tells| {
        let server = server.to_owned();
        Figure { measure: "durable", server, value, unit, tells }
    };
    let in_flight = ROOMS * IN_FLIGHT_PER_ROOM;
    Ok(vec![
        figure(&setup.name, median(&through), "messages/s", format!("{ROOMS} rooms of 1, {in_flight} in flight")),
        figure(
            "inserts",
            median(&plain),
            "messages/s",
            format!("{} a transaction, synchronous {}", run.durable_batch, setup.synchronous.name()),
        ),
        figure(&format!("{} ÷ inserts", setup.name), median(&ratios), "", format!("{least:.2}–{most:.2}")),
    ])
}

/// The plain loop's table: the columns that Ondol has for its messages, with an index for each way in which it looks for them.
struct Table {
    connection: Connection,
    id: i64,
}

impl Table {
    fn create(file: &Path, synchronous: Durability) -> anyhow::Result<Self> {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", synchronous.name())?;
        connection.pragma_update(None, "foreign_keys", "on")?;
        connection.execute_batch(
            "CREATE TABLE room (id INTEGER PRIMARY KEY) STRICT;
             CREATE TABLE message (
                 id INTEGER PRIMARY KEY, room INTEGER NOT NULL REFERENCES room (id), seq INTEGER NOT NULL,
                 sender TEXT NOT NULL, nickname TEXT NOT NULL, email TEXT NOT NULL, profile_url TEXT,
                 text TEXT NOT NULL, client_id TEXT, parent INTEGER, extra TEXT, created_at INTEGER NOT NULL) STRICT;
             CREATE UNIQUE INDEX message_by_seq ON message (room, seq);
             CREATE UNIQUE INDEX message_by_client_id ON message (room, sender, client_id)
                 WHERE client_id IS NOT NULL;",
        )?;
        for room in 0..ROOMS {
            connection.execute("INSERT INTO room (id) VALUES (?1)", [room as i64])?;
        }
        Ok(Self { connection, id: 0 })
    }

    /// Inserts for so long and gives the rows in a second.
    fn insert_for(&mut self, span: Duration, batch: u32) -> anyhow::Result<f64> {
        let (began, before) = (Instant::now(), self.id);
        let text = "x".repeat(TEXT_BYTES);
        while began.elapsed() < span {
            let transaction = self.connection.transaction()?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO message (id, room, seq, sender, nickname, email, text, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            for _ in 0..batch {
                self.id += 1;
                let (room, seq) = (self.id % ROOMS as i64, self.id / ROOMS as i64);
                insert.execute(params![self.id, room, seq, "1-0", "n1-0", "1-0@example.com", text, self.id])?;
            }
            drop(insert);
            transaction.commit()?;
        }
        Ok((self.id - before) as f64 / began.elapsed().as_secs_f64())
    }
}
