//! Ondol, a real-time chat server whose logic is three WebAssembly components. The map, in reading order:
//!
//! - [`cli`] the commands, [`server`] bind, accept, drain
//! - the edge: [`http`] routes, REST and WebSockets; knows [`chat`] and nothing below it
//! - the application: [`chat`] the only place that knows all three below
//! - three siblings that do not know each other: [`store`] SQLite, [`rooms`] members and fan-out, [`handlers`] wasmtime
//! - the ground: [`model`] plain data, [`frame`] WebSocket frames as bytes, [`config`] every setting and limit,
//!   [`worker`] the runtime's workers, [`exit`] the end of the process before its time

pub mod chat;
pub mod cli;
pub mod config;
pub mod exit;
pub mod frame;
pub mod handlers;
pub mod http;
pub mod model;
pub mod rooms;
pub mod server;
pub mod store;
pub mod worker;
