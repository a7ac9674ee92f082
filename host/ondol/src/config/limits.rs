//! Every limit: its name, default, unit, range, and what it bounds. docs/configuration.md shows this table.

mod markdown;

use std::collections::BTreeMap;

use ondol_host_handlers::{
    AdmissionLimits, CallLimits, CompilerLimits, HandlerKind, HandlersLimits, RolloutLimits, SandboxLimits,
};
use ondol_host_store::{MessageRetention, StoreLimits};

use super::given::Given;
use super::settings::Settings;
use markdown::grouped;

/// A day. No time limit is longer, so that adding one to a moment cannot overflow.
const DAY_MS: u64 = 86_400_000;
const MIB: usize = 1_048_576;
const GIB: usize = 1_073_741_824;
/// No rate is higher: what comes faster is not told apart in nanoseconds.
const RATE_MAX: usize = 1_000_000_000;

/// One row of the table of limits.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Its name in the TOML table `[limits]`. The environment variable is `ONDOL_` and the name in upper case.
    pub name: &'static str,
    /// The default.
    pub default: u64,
    /// The unit.
    pub unit: &'static str,
    /// The smallest value that it takes.
    pub min: u64,
    /// The largest value that it takes.
    pub max: u64,
    /// What the limit bounds.
    pub doc: &'static str,
}

/// One row for each limit: what it bounds, its name and type, default, unit and range. Times are `u64`, sizes and
/// counts `usize`.
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $unit:literal, $min:expr => $max:expr;)+) => {
        /// Every limit, in the unit that its name or the table says.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $type,)+
            /// Overrides for single handlers, by handler and limit. Read with [`Limits::of`].
            pub(super) of_handlers: BTreeMap<(&'static str, &'static str), u64>,
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ of_handlers: BTreeMap::new() }
            }
        }

        impl Limits {
            /// The table of limits, in the order of declaration.
            pub const TABLE: &'static [Limit] = &[$(Limit {
                name: stringify!($name),
                default: $default as u64,
                unit: $unit,
                min: $min as u64,
                max: $max as u64,
                doc: concat!($($doc),+),
            }),+];

            /// Sets the limit `name`, or `HANDLER.NAME` for one handler. None for an unknown limit. An error lists the
            /// values that it takes.
            pub(super) fn set(&mut self, name: &str, given: &Given) -> Option<Result<(), String>> {
                let (handler, name) = match name.split_once('.') {
                    Some((handler, name)) => (Some(handler), name),
                    None => (None, name),
                };
                let limit = Self::TABLE.iter().find(|limit| limit.name == name)?;
                let value = given.as_number().filter(|value| (limit.min..=limit.max).contains(value));
                let value = match value {
                    Some(value) => value,
                    None => return Some(Err(limit.takes())),
                };
                match handler {
                    None => self.put(name, value),
                    Some(handler) => {
                        let handler = Settings::HANDLERS.into_iter().find(|known| *known == handler)?;
                        Self::OF_EACH_HANDLER.contains(&name).then_some(())?;
                        self.of_handlers.insert((handler, limit.name), value);
                        Some(Ok(()))
                    }
                }
            }

            /// Sets a limit to a value within its range.
            fn put(&mut self, name: &str, value: u64) -> Option<Result<(), String>> {
                match name {
                    $(stringify!($name) => match <$type>::try_from(value) {
                        Ok(value) => self.$name = value,
                        Err(error) => return Some(Err(error.to_string())),
                    },)+
                    _ => return None,
                }
                Some(Ok(()))
            }
        }
    };
}

limits! {
    /// A WebSocket message from a client; a larger one closes with 1009.
    frame_bytes_max: usize = 65_536, "bytes", 1 => 16 * MIB;
    /// Data waiting to be written to one connection; more closes with 1008.
    outbox_bytes_max: usize = 1_048_576, "bytes, a connection", 1_024 => GIB;
    /// How long a socket may accept none of the data that waits for it; longer closes with 1008.
    stall_ms_max: u64 = 10_000, "ms", 1 => DAY_MS;
    /// What a client may have in flight, from the accepted frame to the last socket; more is not read until then.
    speaker_bytes_max: usize = 131_072, "bytes, a connection", 1 => GIB;
    /// From the first byte of a WebSocket message to its last; longer closes with 1008.
    frame_ms_max: u64 = 60_000, "ms", 1 => DAY_MS;
    /// The fragments of one WebSocket message; more closes with 1008.
    fragments_max: usize = 4_096, "fragments", 1 => 1_000_000;
    /// The head of a request; a larger one is answered with 431.
    // hyper requires a buffer of at least 8 KiB.
    header_bytes_max: usize = 16_384, "bytes", 8_192 => MIB;
    /// From the accept, or the first byte of a later request, to the end of its head, and for a TLS handshake;
    /// longer drops the connection.
    header_ms_max: u64 = 10_000, "ms", 1 => DAY_MS;
    /// From an answer to the next request's first byte; longer closes the connection. nginx keeps one for 60 s.
    idle_ms_max: u64 = 75_000, "ms", 1 => DAY_MS;
    /// From the moment an answer waits for its client until it is fully written; longer drops the connection.
    answer_ms_max: u64 = 30_000, "ms", 1 => DAY_MS;
    /// Requests of one HTTP/2 connection at a time; a client keeps further ones.
    http2_streams_max: usize = 32, "requests, a connection", 1 => 1_000;
    /// The body of a request; a larger one is answered with 413.
    body_bytes_max: usize = 65_536, "bytes", 1 => 16 * MIB;
    /// From the head of a request to the end of its body; longer is answered with 408.
    body_ms_max: u64 = 10_000, "ms", 1 => DAY_MS;
    /// The path and query of a request; longer is answered with 414.
    // The http crate rejects longer ones.
    url_bytes_max: usize = 8_192, "bytes", 64 => 65_534;
    /// Connections in total. 0: the hard limit on file descriptors, minus 80.
    connections_max: usize = 0, "connections", 0 => 10_000_000;
    /// WebSockets of one user, over all rooms; one more is answered with 503.
    connections_per_user_max: usize = 64, "connections", 1 => 10_000_000;
    /// How long those have to answer a ping before one more is refused; longer closes with 1008. 0: they are not asked.
    probe_ms_max: u64 = 2_000, "ms", 0 => DAY_MS;
    /// A connection's frames, heartbeats included; more are dropped, with an error event. 0: no limit.
    frames_per_connection_per_min: usize = 3_000, "frames a minute", 0 => RATE_MAX;
    /// How many of them may come at once.
    frames_per_connection_burst: usize = 500, "frames", 1 => RATE_MAX;
    /// The bytes of those frames; more are dropped, with an error event. 0: no limit.
    bytes_per_connection_per_min: usize = 60 * MIB, "bytes a minute", 0 => RATE_MAX;
    /// How many of them may come at once.
    bytes_per_connection_burst: usize = 8 * MIB, "bytes", 1 => RATE_MAX;
    /// Dropped frames of a client that does not wait as it is asked to; one more closes with 1008.
    frames_refused_max: usize = 1_000, "frames, a connection", 0 => 1_000_000;
    /// A user's frames on all their WebSockets, their `POST message/`, and the WebSockets that they open. 0: no limit.
    messages_per_user_per_min: usize = 6_000, "messages a minute", 0 => RATE_MAX;
    /// How many of them may come at once.
    messages_per_user_burst: usize = 1_000, "messages", 1 => RATE_MAX;
    /// A user's `POST create-room/`; without an identity, an address's. 0: no limit.
    rooms_per_user_per_min: usize = 120, "requests a minute", 0 => RATE_MAX;
    /// How many of them may come at once.
    rooms_per_user_burst: usize = 200, "requests", 1 => RATE_MAX;
    /// WebSockets that are opened from one address. 0: no limit.
    connections_per_address_per_min: usize = 6_000, "connections a minute", 0 => RATE_MAX;
    /// How many of them may be opened at once.
    connections_per_address_burst: usize = 3_000, "connections", 1 => RATE_MAX;
    /// REST requests from one address. 0: no limit.
    requests_per_address_per_min: usize = 60_000, "requests a minute", 0 => RATE_MAX;
    /// How many of them may come at once.
    requests_per_address_burst: usize = 20_000, "requests", 1 => RATE_MAX;
    /// Rejected identities from one address; after more, none is looked at. 0: no limit.
    rejections_per_address_per_min: usize = 3_000, "identities a minute", 0 => RATE_MAX;
    /// How many of them may come at once.
    rejections_per_address_burst: usize = 1_000, "identities", 1 => RATE_MAX;
    /// Users, or addresses, whose recent use each rate remembers; further ones are not counted.
    rate_keys_max: usize = 65_536, "users or addresses", 1 => 10_000_000;
    /// The interval between pings. Gateways drop silent connections: nginx after 60 s.
    ping_interval_ms: u64 = 25_000, "ms", 1 => DAY_MS;
    /// From a ping to the next bytes of the peer; longer closes with 1008.
    pong_ms_max: u64 = 10_000, "ms", 1 => DAY_MS;
    /// How long a closing handshake may take.
    close_ms_max: u64 = 5_000, "ms", 1 => DAY_MS;
    /// The running time of a call, checked every 5 ms.
    handler_deadline_ms: u64 = 100, "ms, a call", 1 => 60_000;
    /// The linear memory of an instance.
    // Python needs 14 MiB, JavaScript 10, Rust 1.
    handler_memory_bytes_max: usize = 32 * MIB, "bytes, an instance", 65_536 => 4 * GIB;
    /// What a call may return, or pass to the host.
    handler_answer_bytes_max: usize = 262_144, "bytes, a call", 1_024 => 256 * MIB;
    /// The output of a call that is kept: its end.
    handler_log_bytes_max: usize = 4_096, "bytes, a call", 0 => MIB;
    /// Calls that an instance answers before it is replaced. 1: a new instance for each call.
    handler_calls_per_instance_max: usize = 10_000, "calls", 1 => 1_000_000_000;
    /// Idle instances that are kept.
    handler_instances_max: usize = 64, "instances, a handler", 1 => 4_096;
    /// Calls that may run past their first milliseconds at the same time; one more is ended.
    // Each occupies one of the runtime's 512 blocking threads.
    handler_slow_calls_max: usize = 4, "calls", 1 => 256;
    /// How long a client is not read after a handler failed on its frame and took more than 2 ms.
    handler_overrun_pause_ms: u64 = 400, "ms", 0 => 60_000;
    /// The stack of a call.
    // It is part of the calling thread's stack of 2 MiB.
    handler_stack_bytes_max: usize = MIB, "bytes, a call", 65_536 => MIB;
    /// A handler's file.
    handler_file_bytes_max: usize = 32 * MIB, "bytes", 1_024 => GIB;
    /// How long compiling a handler may take.
    // A component of 18 MB with a Python interpreter takes 10 s of one processor.
    handler_compile_ms_max: u64 = 120_000, "ms", 100 => DAY_MS;
    /// The memory of the compiler process, without mapped files.
    // That component needs 600 MiB on two threads, 850 on eight.
    handler_compile_memory_bytes_max: usize = 3 * GIB / 2, "bytes", 64 * MIB => 64 * GIB;
    /// How long a new version is compared with the baseline. 0 disables probation and automatic rollback.
    probation_ms: u64 = 60_000, "ms", 0 => DAY_MS;
    /// Faults during probation, on calls that the baseline answers, that trigger a rollback.
    probation_faults_max: usize = 3, "faults", 1 => 1_000_000;
    /// The percentage of such faults above which a rollback is triggered.
    probation_fault_percent_max: usize = 1, "%", 0 => 100;
    /// Calls needed before the fault percentage is evaluated.
    probation_calls_min: usize = 100, "calls", 1 => 1_000_000;
    /// How many times as long as the baseline a version may take before it is slow, at the median and at the 99th percentile.
    probation_slowdown_max: usize = 5, "times", 2 => 1_000;
    /// The median below which a version is never slow, whatever the baseline takes; ten times that at the 99th percentile.
    probation_slowdown_floor_ms: u64 = 1, "ms", 0 => 60_000;
    /// The median above which a slow version is rolled back; below it the operator is warned.
    probation_slowdown_rollback_ms: u64 = 10, "ms", 0 => 60_000;
    /// Calls that may wait for the shadow; further calls are not copied to it.
    shadow_queue_max: usize = 1_024, "calls", 1 => 1_000_000;
    /// The size of those calls and their answers; further calls are not copied to it.
    shadow_queue_bytes_max: usize = 16 * MIB, "bytes", 1_024 => GIB;
    /// The first differences between the shadow and the active release that are kept.
    shadow_differences_max: usize = 20, "differences", 0 => 1_000;
    /// Components that are kept, the active one included; each with as many of its settings.
    versions_kept_max: usize = 20, "components, a handler", 2 => 1_000;
    /// Releases kept in the history. Rejected releases are counted separately.
    releases_kept_max: usize = 1_000, "releases", 10 => 1_000_000;
    /// The table of cases that comes with a version.
    handler_cases_bytes_max: usize = 1_048_576, "bytes", 0 => 64 * MIB;
    /// Connections to the admin API; further ones wait.
    admin_connections_max: usize = 16, "connections", 1 => 1_024;
    /// From the head of an admin API request to the end of its body; longer is answered with 408.
    admin_body_ms_max: u64 = 60_000, "ms", 1 => DAY_MS;
    /// A user id.
    user_id_chars_max: usize = 128, "characters", 1 => 4_096;
    /// A nickname.
    nickname_chars_max: usize = 64, "characters", 1 => 4_096;
    /// An e-mail address.
    email_chars_max: usize = 254, "characters", 1 => 4_096;
    /// The URL or path of a profile picture.
    profile_url_chars_max: usize = 2_048, "characters", 1 => 16_384;
    /// Rooms in one page.
    rooms_page_max: usize = 1_000, "rooms", 1 => 100_000;
    /// Messages in one page.
    messages_page_max: usize = 200, "messages", 1 => 100_000;
    /// The messages of one page, as JSON; a page ends before it exceeds this, and holds at least one message.
    page_bytes_max: usize = 131_072, "bytes", 1_024 => GIB;
    /// Messages that a client may have missed when it resumes; with more it has to read the history.
    resume_messages_max: usize = 1_000, "messages", 0 => 1_000_000;
    /// The latest messages of rooms that are kept in memory, up to 256 of a room. 0: pages are always read from disk.
    history_cache_bytes_max: usize = 32 * MIB, "bytes", 0 => 64 * GIB;
    /// Messages that may wait in one room; more is answered with `busy`.
    room_inbox_max: usize = 1_024, "messages, a room", 1 => 1_000_000;
    /// Messages that may wait for the disk; more is answered with `busy`.
    commit_queue_max: usize = 16_384, "messages", 1 => 10_000_000;
    /// The size of the messages that wait for the disk; more is answered with `busy`.
    commit_queue_bytes_max: usize = 67_108_864, "bytes", 1 => 64 * GIB;
    /// Messages in one transaction.
    commit_batch_max: usize = 4_096, "messages", 1 => 1_000_000;
    /// The latest messages of a room that are kept, by their `seq`; older ones are removed. 0: all.
    messages_kept_max: usize = 0, "messages, a room", 0 => 1_000_000_000;
    /// The age at which messages are removed. 0: never.
    messages_kept_days: u64 = 0, "days", 0 => 36_500;
    /// Log lines that may wait for the reader of standard error; further lines are dropped and counted.
    log_queue_max: usize = 8_192, "lines", 1 => 1_000_000;
    /// How long `SIGTERM` warns before the shutdown: half not ready, then sockets are closed one after another.
    drain_ms: u64 = 4_000, "ms", 0 => DAY_MS;
    /// How long a shutdown may take before the remaining connections are cut off.
    shutdown_grace_ms: u64 = 10_000, "ms", 0 => DAY_MS;
}

impl Limit {
    /// The values that it takes, in the words of an error.
    fn takes(&self) -> String {
        format!("a whole number from {} to {} ({})", grouped(self.min), grouped(self.max), self.unit)
    }
}

impl Limits {
    /// The limits that can be set per handler: `messages.handler_deadline_ms` overrides `handler_deadline_ms`,
    /// whichever layer sets that.
    pub const OF_EACH_HANDLER: [&'static str; 5] = [
        "handler_deadline_ms",
        "handler_memory_bytes_max",
        "handler_answer_bytes_max",
        "handler_log_bytes_max",
        "handler_calls_per_instance_max",
    ];

    /// The limits of one handler, by its name.
    #[must_use]
    pub fn of(&self, handler: &str) -> Self {
        let mut limits = self.clone();
        for ((_, name), value) in self.of_handlers.iter().filter(|((of, _), _)| *of == handler) {
            // Its range was checked when it was set.
            let _ = limits.put(name, *value);
        }
        limits
    }

    /// The limits of the handlers crate.
    #[must_use]
    pub fn handlers(&self) -> HandlersLimits {
        let calls = |limits: &Self| CallLimits {
            handler_deadline_ms: limits.handler_deadline_ms,
            handler_memory_bytes_max: limits.handler_memory_bytes_max,
            handler_stack_bytes_max: limits.handler_stack_bytes_max,
            handler_answer_bytes_max: limits.handler_answer_bytes_max,
            handler_log_bytes_max: limits.handler_log_bytes_max,
            handler_calls_per_instance_max: limits.handler_calls_per_instance_max,
        };
        HandlersLimits {
            sandbox: SandboxLimits {
                calls: calls(self),
                calls_of: HandlerKind::ALL.map(|handler| calls(&self.of(handler.name()))),
                handler_instances_max: self.handler_instances_max,
                handler_slow_calls_max: self.handler_slow_calls_max,
            },
            admission: AdmissionLimits {
                handler_file_bytes_max: self.handler_file_bytes_max,
                handler_cases_bytes_max: self.handler_cases_bytes_max,
            },
            compiler: CompilerLimits {
                handler_compile_ms_max: self.handler_compile_ms_max,
                handler_compile_memory_bytes_max: self.handler_compile_memory_bytes_max,
            },
            rollout: RolloutLimits {
                probation_ms: self.probation_ms,
                probation_faults_max: self.probation_faults_max,
                probation_fault_percent_max: self.probation_fault_percent_max,
                probation_calls_min: self.probation_calls_min,
                probation_slowdown_max: self.probation_slowdown_max,
                probation_slowdown_floor_ms: self.probation_slowdown_floor_ms,
                probation_slowdown_rollback_ms: self.probation_slowdown_rollback_ms,
                shadow_queue_max: self.shadow_queue_max,
                shadow_queue_bytes_max: self.shadow_queue_bytes_max,
                shadow_differences_max: self.shadow_differences_max,
            },
        }
    }

    /// The limits of the store crate.
    #[must_use]
    pub fn store(&self) -> StoreLimits {
        let Self { commit_queue_max, commit_batch_max, page_bytes_max, history_cache_bytes_max, .. } = *self;
        let retention =
            MessageRetention { of_room: self.messages_kept_max as u64, age_ms: self.messages_kept_days * DAY_MS };
        StoreLimits { commit_queue_max, commit_batch_max, page_bytes_max, history_cache_bytes_max, retention }
    }

    /// The names of all per-handler limits, such as `messages.handler_deadline_ms`.
    pub(super) fn names_of_handlers() -> impl Iterator<Item = String> {
        let of = |handler| Self::OF_EACH_HANDLER.into_iter().map(move |name| format!("{handler}.{name}"));
        Settings::HANDLERS.into_iter().flat_map(of)
    }

    /// Checks a value that is given in place of the limit `name`. An error lists the values that the limit takes.
    pub(crate) fn check(name: &str, value: u64) -> Result<u64, String> {
        let limit = Self::TABLE.iter().find(|limit| limit.name == name);
        match limit {
            Some(limit) if !(limit.min..=limit.max).contains(&value) => Err(limit.takes()),
            _ => Ok(value),
        }
    }

    /// The largest value that the limit `name` takes.
    #[must_use]
    pub fn largest(name: &str) -> usize {
        let limit = Self::TABLE.iter().find(|limit| limit.name == name);
        limit.and_then(|limit| usize::try_from(limit.max).ok()).unwrap_or_default()
    }
}
