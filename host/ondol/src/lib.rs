//! Ondol, a real-time chat server whose logic is three WebAssembly components. The map, in reading order:
//!
//! - [`cli`] the commands, [`server`] bind, accept, drain
//! - `metrics` all that is counted, as text for Prometheus
//! - the APIs: [`http`] routes, REST and WebSockets; knows [`chat`] and nothing below it
//! - the application: [`chat`] the only place that knows all three below
//! - `moving` chats in and out, as files; knows the store alone
//! - three siblings that do not know each other: [`ondol_host_store`] SQLite, [`ondol_host_rooms`] members and fan-out,
//!   [`ondol_host_handlers`] wasmtime
//! - the ground: [`ondol_host_model`] plain data, [`ondol_host_process`] workers and exit, [`config`] settings and limits,
//!   `tls` certificates and authorities, `files` what is read again when it changes, `otlp` spans for a collector

pub mod chat;
pub mod cli;
pub mod config;
mod files;
pub mod http;
mod metrics;
mod moving;
mod otlp;
pub mod server;
mod tls;
