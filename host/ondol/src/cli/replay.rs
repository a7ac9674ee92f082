//! `ondol replay`: compares two versions of a handler on stored messages or rooms. Reads the database, even while a
//! server runs on it, and changes nothing.

mod tally;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;

use self::tally::{Subject, Tally};
use super::database::in_file;
use super::progress::Progress;
use super::shared::{Misuse, Output, print_json, read, sandbox, settings};
use crate::chat::as_deployed;
use crate::config::{Config, ConfigFlags, Limits};
use ondol_host_handlers::{Admission, HandlerKind, Sandbox, Side, Source, fits};
use ondol_host_model::RoomId;
use ondol_host_store::{Archive, StoredRelease};

/// Compare a handler's answers with the active version's on stored data
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Replay {
    /// Component to compare
    file: PathBuf,
    /// Data directory [default: ondol-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Compare with this component instead of the active version
    #[arg(long, value_name = "FILE.wasm")]
    against: Option<PathBuf>,
    /// Handler to replay, if the component fits several worlds
    #[arg(long, value_name = "HANDLER")]
    handler: Option<HandlerKind>,
    /// Replay only this room
    #[arg(long, value_name = "NUMBER")]
    room: Option<u64>,
    /// Number of latest messages or rooms to replay
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    last: u32,
    /// Number of differences to show
    #[arg(long, value_name = "NUMBER", default_value_t = 10)]
    show: u32,
    /// Replace all settings of the active version; repeatable, one key each
    #[arg(long = "setting", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Output format; json includes message texts
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Configuration with limits and data directory [env: ONDOL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a limit, such as handler_deadline_ms=1000; repeatable
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,
}

const AFTER_HELP: &str = "\
Calls both versions: `events` for each stored message, `messages` with the frame that a client
would have sent for it, `rooms` with the request for each room. Shows where the answers differ and
what they cost. Only reads the database, even while a server runs on it. Exits with 0 if all
answers are equal, with 1 if any differ or fail, with 2 if no call could be made.

Refused frames are not stored and texts are stored trimmed, so a replay cannot show that a handler
accepts more. Of the creator of a room only the id is stored.

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
        in_file(&config, self.data.is_some(), "this command reads a file")?;
        let path = config.database_file();
        let archive = Archive::open(&path).map_err(|error| Misuse(format!("{}: {error}", path.display())))?;
        if let Some(room) = self.room
            && archive.room(RoomId(room))?.is_none()
        {
            return Err(Misuse(format!("{}: room {room} does not exist", path.display())).into());
        }
        let limits = config.limits.handlers();
        let admission = Admission::new(Arc::new(sandbox(&limits.sandbox, Some(&config), None)?), limits.admission);
        let mut replay = self.load(&archive, &admission, &config.limits)?;
        let tally = self.compare(&archive, &mut replay)?;
        match self.output {
            Output::Json => print_json(&tally.json(&replay))?,
            Output::Text => tally.print(&replay),
        }
        Ok(if tally.all_same() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Loads both versions, with their admission checks.
    fn load(
        &self,
        archive: &Archive,
        admission: &Admission,
        limits: &Limits,
    ) -> anyhow::Result<ondol_host_handlers::Replay> {
        let wasm = read(&self.file, Some(limits))?;
        let handler = self.handler_of(admission.sandbox(), &wasm)?;
        let given = settings(&self.settings)?;
        let active = archive.active_release()?;
        let active = active.as_ref().map(|release| active_source(archive, release, handler));
        let (before, description) = match (&self.against, active) {
            (Some(file), active) => {
                let settings = active.and_then(Result::ok).map(|source| source.settings).unwrap_or_default();
                let source = Source { handler, wasm: read(file, Some(limits))?, settings, cases: None };
                (source, file.display().to_string())
            }
            (None, Some(active)) => (active.map_err(Misuse)?, format!("the active version of {handler}")),
            (None, None) => {
                let why = "the database has no active release to compare with: give --against FILE.wasm";
                return Err(Misuse(why.to_owned()).into());
            }
        };
        let settings = if given.is_empty() { Arc::clone(&before.settings) } else { Arc::new(given) };
        let after = Source { handler, wasm, settings, cases: None };
        let before = Side::admit(admission, before).map_err(|error| Misuse(format!("{description}: {error}")))?;
        let after = Side::admit(admission, after).map_err(|error| unusable(&self.file, &error))?;
        Ok(ondol_host_handlers::Replay::new(before, after))
    }

    /// The handler that the component is for.
    fn handler_of(&self, sandbox: &Sandbox, wasm: &[u8]) -> Result<HandlerKind, Misuse> {
        if let Some(handler) = self.handler {
            return Ok(handler);
        }
        match fits(sandbox, wasm).map_err(|error| unusable(&self.file, &error))?.as_slice() {
            [handler] => Ok(*handler),
            [] => Err(unusable(&self.file, &"it fits no handler's world; run `ondol inspect` for the reasons")),
            _ => Err(unusable(&self.file, &"it fits more than one handler's world: give --handler")),
        }
    }

    fn compare(&self, archive: &Archive, replay: &mut ondol_host_handlers::Replay) -> anyhow::Result<Tally> {
        let mut tally = Tally::new(self.show as usize);
        let last = self.last as usize;
        let of = (replay.after().handler(), self.room.map(RoomId));
        let total = match of {
            (HandlerKind::Rooms, Some(_)) => 1,
            (HandlerKind::Rooms, None) => archive.count_rooms(last)?,
            (HandlerKind::Messages | HandlerKind::Events, room) => archive.count_messages(room, last)?,
        };
        let progress = Progress::new(format!("replaying {}", of.0));
        let report = progress.report();
        let mut add = |subject, compared| {
            let goes_on = tally.add(subject, compared);
            report(tally.compared() as u64, total);
            goes_on
        };
        let read = match of {
            (HandlerKind::Rooms, Some(id)) => archive.room(id).map(|room| {
                let compared = room.and_then(|room| replay.room(&room));
                let _one = compared.map(|compared| add(Subject::Room(id), compared));
            }),
            (HandlerKind::Rooms, None) => archive.rooms(last, |room| match replay.room(room) {
                Some(compared) => add(Subject::Room(room.id), compared),
                None => ControlFlow::Break(()),
            }),
            (HandlerKind::Messages | HandlerKind::Events, room) => {
                archive.messages(room, last, |message| match replay.message(message) {
                    Some(compared) => add(Subject::Message(message.room, message.seq, message.id), compared),
                    None => ControlFlow::Break(()),
                })
            }
        };
        drop(progress);
        read.context("cannot read the stored data")?;
        Ok(tally)
    }
}

/// The component and settings of the active version of a handler.
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
