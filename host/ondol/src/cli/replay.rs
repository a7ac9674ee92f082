//! `ondol replay`: what would have changed, had another handler answered for what is stored? Reads the database, also while
//! a server runs on it, and changes nothing.

mod tally;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;

use self::tally::{Place, Tally};
use super::{Misuse, Output};
use crate::chat::as_deployed;
use crate::config::{Config, ConfigFlags, Limits};
use ondol_host_handlers::{HandlerKind, Sandbox, Side, Source};
use ondol_host_model::RoomId;
use ondol_host_store::{Archive, StoredRelease};

/// Ask a handler, and beside it the one that is active, what is stored: `events` for the event of each message, `messages`
/// what becomes of the frame that a client would have sent for it, `rooms` what is made of the request for each room. Shows
/// where the answers differ and what they cost. The database is only read, also while a server runs on it. Exits with 0
/// when nothing differs, with 1 when something does or fails, with 2 when nothing could be asked.
///
/// What was refused is not stored, and a text is stored as it was trimmed; so a handler that takes more than the active one
/// is not seen to. Of who created a room only the id is stored.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Replay {
    /// The component
    file: PathBuf,
    /// The directory of the database [default: ondol-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Hold it against this component instead of the active one
    #[arg(long, value_name = "FILE.wasm")]
    against: Option<PathBuf>,
    /// Which handler it is, where it fits more than one world
    #[arg(long, value_name = "HANDLER")]
    handler: Option<HandlerKind>,
    /// Only what is stored of this room
    #[arg(long, value_name = "NUMBER")]
    room: Option<u64>,
    /// How many messages, or rooms: the last ones
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    last: u32,
    /// How many differences to show
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    show: u32,
    /// What the handler reads through `settings`, in the place of all settings of the active one; give it again for more
    #[arg(long = "setting", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// How to tell. JSON holds the whole answers, and so the messages
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// A TOML file, of which the limits and the directory are taken [env: ONDOL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a limit, such as handler_deadline_ms=1000; give it again for more
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  ondol replay my-events.wasm --data ondol-data
  ondol replay messages.wasm --setting text_length_max=500 --room 7
  ondol replay new.wasm --against old.wasm --last 100000 --output json";

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let flags = ConfigFlags {
            config: self.config.clone(),
            data: self.data.clone(),
            limits: self.limits.clone(),
            ..ConfigFlags::default()
        };
        let config = Config::load(&flags)?;
        let path = config.data.join("ondol.db");
        let archive = Archive::open(&path).map_err(|error| Misuse(format!("{}: {error}", path.display())))?;
        if let Some(room) = self.room
            && archive.room(RoomId(room))?.is_none()
        {
            return Err(Misuse(format!("{}: there is no room {room}", path.display())).into());
        }
        let sandbox = Arc::new(Sandbox::new(&config.limits.handlers(), None)?);
        let mut replay = self.replay(&archive, &sandbox, &config.limits)?;
        let tally = self.ask(&archive, &mut replay)?;
        match self.output {
            Output::Json => super::print_json(&tally.json(&replay))?,
            Output::Text => tally.print(&replay),
        }
        Ok(if tally.all_same() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Both versions, through the gate.
    fn replay(
        &self,
        archive: &Archive,
        sandbox: &Arc<Sandbox>,
        limits: &Limits,
    ) -> anyhow::Result<ondol_host_handlers::Replay> {
        let wasm = super::read(&self.file, Some(limits))?;
        let handler = self.handler_of(sandbox, &wasm)?;
        let given = super::call::settings(&self.settings)?;
        let active = archive.active_release()?;
        let active = active.as_ref().map(|release| active_source(archive, release, handler));
        let (before, told) = match (&self.against, active) {
            (Some(file), active) => {
                let settings = active.and_then(Result::ok).map(|source| source.settings).unwrap_or_default();
                let source = Source { handler, wasm: super::read(file, Some(limits))?, settings, cases: None };
                (source, file.display().to_string())
            }
            (None, Some(active)) => (active.map_err(Misuse)?, format!("the active version of {handler}")),
            (None, None) => {
                let why = "no release is stored as active: give --against FILE.wasm";
                return Err(Misuse(why.to_owned()).into());
            }
        };
        let settings = if given.is_empty() { Arc::clone(&before.settings) } else { Arc::new(given) };
        let after = Source { handler, wasm, settings, cases: None };
        let before = Side::load(sandbox, &before).map_err(|error| Misuse(format!("{told}: {error}")))?;
        let after = Side::load(sandbox, &after).map_err(|error| unusable(&self.file, &error))?;
        Ok(ondol_host_handlers::Replay::new(before, after))
    }

    /// Which handler the file is.
    fn handler_of(&self, sandbox: &Sandbox, wasm: &[u8]) -> Result<HandlerKind, Misuse> {
        if let Some(handler) = self.handler {
            return Ok(handler);
        }
        match sandbox.fits(wasm).map_err(|error| unusable(&self.file, &error))?.as_slice() {
            [handler] => Ok(*handler),
            [] => Err(unusable(&self.file, &"it fits no handler's world; `ondol inspect` says why")),
            _ => Err(unusable(&self.file, &"it fits more than one handler's world: give --handler")),
        }
    }

    fn ask(&self, archive: &Archive, replay: &mut ondol_host_handlers::Replay) -> anyhow::Result<Tally> {
        let mut tally = Tally::new(self.show as usize);
        let last = self.last as usize;
        let read = match (replay.after().handler(), self.room.map(RoomId)) {
            (HandlerKind::Rooms, Some(id)) => archive.room(id).map(|room| {
                let compared = room.and_then(|room| replay.room(&room));
                let _one = compared.map(|compared| tally.add(Place::Room(id), compared));
            }),
            (HandlerKind::Rooms, None) => archive.rooms(last, |room| match replay.room(room) {
                Some(compared) => tally.add(Place::Room(room.id), compared),
                None => ControlFlow::Break(()),
            }),
            (HandlerKind::Messages | HandlerKind::Events, room) => {
                archive.messages(room, last, |message| match replay.message(message) {
                    Some(compared) => tally.add(Place::Message(message.room, message.seq, message.id), compared),
                    None => ControlFlow::Break(()),
                })
            }
        };
        read.context("reading what is stored")?;
        Ok(tally)
    }
}

/// What the active version of a handler was made of.
fn active_source(archive: &Archive, release: &StoredRelease, handler: HandlerKind) -> Result<Source, String> {
    let [rooms, messages, events] = &release.versions;
    let id = match handler {
        HandlerKind::Rooms => rooms,
        HandlerKind::Messages => messages,
        HandlerKind::Events => events,
    };
    as_deployed(archive.version(id).map_err(|error| error.to_string())?, handler, id)
}

fn unusable(file: &Path, why: &dyn std::fmt::Display) -> Misuse {
    Misuse(format!("{}: {why}", file.display()))
}
