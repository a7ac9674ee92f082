//! The harness of the stories: it starts the real binary on a port and in a directory of its own, and speaks HTTP and
//! WebSocket to it. It knows the wire, the command line and the log, and nothing of the host's internals.
//!
//! In reading order: [`TestServer`] and its [`Setup`], the [`Client`] of the stories, the [`http`] client that shows an
//! answer unchanged, the [`RawSocket`] for bytes that no library would send, and [`handlers`] to deploy. For several hosts:
//! [`Hosts`], the [`troubles`] they get into, the [`Crowd`] that talks to them, and the [`checker`] of what it heard.

#![allow(clippy::indexing_slicing, reason = "JSON is indexed by key, and a key that is missing is null")]

pub mod author;
pub mod bad_line;
pub mod browser;
pub mod checker;
pub mod client;
pub mod collector;
pub mod command;
pub mod crowd;
pub mod deadline;
pub mod debian;
pub mod disk;
pub mod flood;
pub mod gateway;
pub mod handlers;
pub mod history;
pub mod hosts;
pub mod http;
pub mod ledger;
pub mod lives;
pub mod load;
pub mod log;
pub mod lossy_bus;
mod process;
pub mod prometheus;
pub mod raw;
pub mod returning;
pub mod server;
pub mod setup;
pub mod signing;
pub mod stored;
pub mod supervisor;
pub mod system;
pub mod tls;
pub mod troubles;
pub mod user;
pub mod wire;
pub mod witness;

pub use bad_line::{BadLine, Failure, Fault, Way};
pub use checker::{Rule, Violation};
pub use client::{Client, Heard, Knock};
pub use collector::{Collector, Manner};
pub use command::ondol;
pub use crowd::{Crowd, Talk};
pub use deadline::{DEADLINE, NEVER_MS, pause, until, within};
pub use flood::Flood;
pub use handlers::{guest, standard};
pub use history::{Act, History};
pub use hosts::{Cut, Hosts};
pub use http::{Answer, Request};
pub use ledger::{Difference, Ledger};
pub use lives::{Lives, Load};
pub use lossy_bus::LossyBus;
pub use ondol_engines::{Nats, Postgres, Stop};
pub use raw::{Frame, RawSocket};
pub use returning::Returning;
pub use server::TestServer;
pub use setup::{Home, Setup};
pub use stored::Stored;
pub use supervisor::Supervisor;
pub use troubles::Trouble;
pub use user::User;
pub use wire::{Open, Wire};
pub use witness::Witness;

/// The outcome of a story: nothing, or an error that says what was expected and what happened.
pub type TestResult<T = ()> = anyhow::Result<T>;
