//! What `ondol new` creates: one of the three handlers, or a middleware in front of a `messages` handler.

use clap::ValueEnum;

use ondol_host_handlers::HandlerKind;

/// A world of the contract.
// Doc comments on the variants would turn the compact `--help` into clap's long form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum World {
    Rooms,
    Messages,
    Events,
    Middleware,
}

impl World {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Rooms, Self::Messages, Self::Events, Self::Middleware];

    /// Its name on the command line, of its templates and of its source file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Middleware => "middleware",
            _ => self.handler().name(),
        }
    }

    /// The handler that it is deployed as.
    pub(super) fn handler(self) -> HandlerKind {
        match self {
            Self::Rooms => HandlerKind::Rooms,
            Self::Messages | Self::Middleware => HandlerKind::Messages,
            Self::Events => HandlerKind::Events,
        }
    }

    /// Its name in `wit/worlds.wit`.
    pub(super) fn contract(self) -> &'static str {
        match self {
            Self::Middleware => "message-middleware",
            _ => self.handler().world(),
        }
    }

    /// What it is, for people.
    pub(super) fn described(self) -> String {
        match self {
            Self::Middleware => "middleware".to_owned(),
            _ => format!("handler of `{}`", self.name()),
        }
    }
}
