//! A disk that can fail and lose its power, for the server under test: SQLite's default VFS with a layer over it that
//! keeps what is durable apart from what the page cache shows. Knows files and SQLite's calls, nothing of Ondol.
//!
//! In reading order: the [`plan`] says what fails and when, a [`medium`] is one file with the content that a power cut
//! would leave, and [`vfs`] puts both under SQLite.
//!
//! A write goes to the real file at once, so every reader sees it, and becomes durable with the next sync. At a power
//! cut each file keeps its synced content and a random selection of the unsynced writes: none, all, the first ones, any
//! of them in any order, or single sectors. The process ends in the same moment, with its sockets.

mod chance;
mod device;
pub mod medium;
pub mod plan;
mod vfs;

pub use chance::Chance;
pub use plan::{Kind, Place, Plan, Rule, VARIABLE};
pub use vfs::install;

/// The exit status of a process whose power was cut.
pub const CUT_STATUS: i32 = 99;
