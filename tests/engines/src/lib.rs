//! The engines that Ondol works with, for tests: a real PostgreSQL and a real NATS server, each in a directory and on a
//! port of its own. They never outlive the test process, whatever ends it. Knows nothing of Ondol.
//!
//! Where a program is missing, the functions return `None` and name the test as skipped; with `CI` set, that is an error.

mod certificate;
mod guard;
mod installed;
mod nats;
mod ports;
mod postgres;

pub use certificate::Certificate;
pub use guard::until_stopped;
pub use nats::{Access, Nats};
pub use ports::free_address;
pub use postgres::{Database, Held, Postgres, Settings, Stop};
