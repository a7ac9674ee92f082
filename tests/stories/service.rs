//! The server as a service: what it tells its supervisor, sockets that it is given, a restart that refuses no client, and the
//! files under `deploy` that install it.

mod activation;
mod container;
mod nginx;
mod notify;
mod package;
mod restart;
mod unit;
mod watchdog;
