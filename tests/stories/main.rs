//! The behaviour of Ondol as stories. Each starts a server of its own, so they run in parallel and in any order.
//!
//! HTTP first, then the socket by a library and byte by byte, then rooms full of people, then handlers, then the
//! operator: limits, durability, shutdown, the command line. `documents` and `layers` read the repository.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a story that is not as it was told has to fail"
)]

mod absent;
mod admin;
mod admin_documents;
mod answers;
mod api_documents;
mod authoring;
mod autobahn;
mod backtraces;
mod backup;
mod bad_lines;
mod both_stores;
mod bystander;
mod canary;
mod cases;
mod clustered_deploys;
mod compiling;
mod configuring;
mod console;
mod copies;
mod create_room;
mod dead_peers;
mod disk_faults;
mod documents;
mod drain;
mod durability;
mod fault_reports;
mod faults;
mod flow;
mod foreign_clients;
mod foreign_pages;
mod frames;
mod full_disks;
mod gateways;
mod generated;
mod handshake;
mod heartbeat;
mod history;
mod hostile;
mod hosts;
mod http2;
mod identity;
mod keeping;
mod kills;
mod languages;
mod layers;
mod leniency;
mod limits;
mod litestream;
mod logs;
mod mangled;
mod membership;
mod messages;
mod metrics;
mod middleware;
mod migrating;
mod moving;
mod observing;
mod odd_files;
mod operating;
mod order;
mod origins;
mod outages;
mod pace;
mod page;
mod patience;
mod post_message;
mod postgres;
mod postgres_outages;
mod power;
mod probation;
mod progress;
mod rates;
mod raw_frames;
mod real_gateways;
mod refusals;
mod reloading;
mod replay;
mod restore;
mod resuming;
mod rollouts;
mod rooms;
mod rude_peers;
mod service;
mod settings;
mod shutdown;
mod storage;
mod swap;
mod sync_order;
mod tls;
mod tokens;
mod tools;
mod traces;
mod trials;
mod turned_away;
mod versions;
mod watching;
mod words;
mod writing;
