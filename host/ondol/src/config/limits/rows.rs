//! The table of limits: for each what it bounds, its name and type, default, unit and range, and whether a reload changes it. In
//! groups by what they protect.

use super::table::limits;

/// A day. No time limit is longer, so that adding one to a moment cannot overflow.
const DAY_MS: u64 = 86_400_000;
const KIB: usize = 1_024;
const MIB: usize = 1_024 * KIB;
const GIB: usize = 1_024 * MIB;
/// No rate is higher: what comes faster is not told apart in nanoseconds.
const RATE_MAX: usize = 1_000_000_000;

limits! {
    "Connections: file descriptors, and the memory of each client" {
        /// Connections in total. 0: the hard limit on file descriptors, minus 80.
        connections_max: usize = 0, "connections", 0 => 10_000_000, restart;
        /// WebSockets of one user, over all rooms; one more is answered with 503.
        connections_per_user_max: usize = 64, "connections", 1 => 10_000_000, restart;
        /// How long a user's WebSockets have to answer a ping before one more is refused; longer closes with 1008. 0: they are not asked.
        probe_ms_max: u64 = 2_000, "ms", 0 => DAY_MS, restart;
        /// The interval between pings. Gateways drop silent connections: nginx after 60 s.
        ping_interval_ms: u64 = 25_000, "ms", 1 => DAY_MS, live;
        /// From a ping to the next bytes of the peer; longer closes with 1008.
        pong_ms_max: u64 = 10_000, "ms", 1 => DAY_MS, live;
        /// How long a closing handshake may take.
        close_ms_max: u64 = 5_000, "ms", 1 => DAY_MS, live;
        /// A WebSocket message from a client; a larger one closes with 1009.
        frame_bytes_max: usize = 64 * KIB, "bytes", 1 => 16 * MIB, live;
        /// From the first byte of a WebSocket message to its last; longer closes with 1008.
        frame_ms_max: u64 = 60_000, "ms", 1 => DAY_MS, live;
        /// The fragments of one WebSocket message; more closes with 1008.
        fragments_max: usize = 4_096, "fragments", 1 => 1_000_000, live;
        /// What a client may have in flight, from the accepted frame to the last socket; more is not read until then.
        speaker_bytes_max: usize = 128 * KIB, "bytes, a connection", 1 => GIB, restart;
        /// Data waiting to be written to one connection; more closes with 1008.
        outbox_bytes_max: usize = MIB, "bytes, a connection", KIB => GIB, restart;
        /// How long a socket may accept none of the data that waits for it; longer closes with 1008.
        stall_ms_max: u64 = 10_000, "ms", 1 => DAY_MS, live;
    }
    "Floods: the pace of one connection, user or address" {
        /// A connection's frames, heartbeats included; more are dropped, with an error event. 0: no limit.
        frames_per_connection_per_min: usize = 3_000, "frames a minute", 0 => RATE_MAX, live;
        /// How many of them may come at once.
        frames_per_connection_burst: usize = 500, "frames", 1 => RATE_MAX, live;
        /// The bytes of those frames; more are dropped, with an error event. 0: no limit.
        bytes_per_connection_per_min: usize = 60 * MIB, "bytes a minute", 0 => RATE_MAX, live;
        /// How many of them may come at once.
        bytes_per_connection_burst: usize = 8 * MIB, "bytes", 1 => RATE_MAX, live;
        /// Dropped frames of a client that does not wait as it is asked to; one more closes with 1008.
        frames_refused_max: usize = 1_000, "frames, a connection", 0 => 1_000_000, live;
        /// A user's frames on all their WebSockets, their `POST message/`, and the WebSockets that they open. 0: no limit.
        messages_per_user_per_min: usize = 6_000, "messages a minute", 0 => RATE_MAX, live;
        /// How many of them may come at once.
        messages_per_user_burst: usize = 1_000, "messages", 1 => RATE_MAX, live;
        /// A user's `POST create-room/`; without an identity, an address's. 0: no limit.
        rooms_per_user_per_min: usize = 120, "requests a minute", 0 => RATE_MAX, live;
        /// How many of them may come at once.
        rooms_per_user_burst: usize = 200, "requests", 1 => RATE_MAX, live;
        /// WebSockets that are opened from one address. 0: no limit.
        connections_per_address_per_min: usize = 6_000, "connections a minute", 0 => RATE_MAX, live;
        /// How many of them may be opened at once.
        connections_per_address_burst: usize = 3_000, "connections", 1 => RATE_MAX, live;
        /// REST requests from one address. 0: no limit.
        requests_per_address_per_min: usize = 60_000, "requests a minute", 0 => RATE_MAX, live;
        /// How many of them may come at once.
        requests_per_address_burst: usize = 20_000, "requests", 1 => RATE_MAX, live;
        /// Rejected identities from one address; after more, none is looked at. 0: no limit.
        rejections_per_address_per_min: usize = 3_000, "identities a minute", 0 => RATE_MAX, live;
        /// How many of them may come at once.
        rejections_per_address_burst: usize = 1_000, "identities", 1 => RATE_MAX, live;
        /// Users, or addresses, whose recent use each rate remembers; further ones are not counted.
        rate_keys_max: usize = 65_536, "users or addresses", 1 => 10_000_000, live;
    }
    "Requests: what an HTTP client may send, and how slowly" {
        /// The head of a request; a larger one is answered with 431.
        // hyper requires a buffer of at least 8 KiB.
        header_bytes_max: usize = 16 * KIB, "bytes", 8 * KIB => MIB, live;
        /// From the accept, or the first byte of a later request, to the end of its head, and for a TLS handshake;
        /// longer drops the connection.
        header_ms_max: u64 = 10_000, "ms", 1 => DAY_MS, live;
        /// The path and query of a request; longer is answered with 414.
        // The http crate rejects longer ones.
        url_bytes_max: usize = 8 * KIB, "bytes", 64 => 65_534, live;
        /// The body of a request; a larger one is answered with 413.
        body_bytes_max: usize = 64 * KIB, "bytes", 1 => 16 * MIB, live;
        /// From the head of a request to the end of its body; longer is answered with 408.
        body_ms_max: u64 = 10_000, "ms", 1 => DAY_MS, live;
        /// From the moment an answer waits for its client until it is fully written; longer drops the connection.
        answer_ms_max: u64 = 30_000, "ms", 1 => DAY_MS, live;
        /// From an answer to the next request's first byte; longer closes the connection. nginx keeps one for 60 s.
        idle_ms_max: u64 = 75_000, "ms", 1 => DAY_MS, live;
        /// Requests of one HTTP/2 connection at a time; a client keeps further ones.
        http2_streams_max: usize = 32, "requests, a connection", 1 => 1_000, live;
        /// A user id.
        user_id_chars_max: usize = 128, "characters", 1 => 4_096, restart;
        /// A nickname.
        nickname_chars_max: usize = 64, "characters", 1 => 4_096, restart;
        /// An e-mail address.
        email_chars_max: usize = 254, "characters", 1 => 4_096, restart;
        /// The URL or path of a profile picture.
        profile_url_chars_max: usize = 2_048, "characters", 1 => 16_384, restart;
    }
    "Messages: the queues before the disk, and what is kept" {
        /// Messages that may wait in one room; more is answered with `busy`.
        room_inbox_max: usize = 8_192, "messages, a room", 1 => 1_000_000, restart;
        /// Messages that may wait for the disk; more is answered with `busy`.
        commit_queue_max: usize = 16_384, "messages", 1 => 10_000_000, restart;
        /// The size of the messages that wait for the disk; more is answered with `busy`.
        commit_queue_bytes_max: usize = 64 * MIB, "bytes", 1 => 64 * GIB, restart;
        /// Messages in one transaction.
        commit_batch_max: usize = 4_096, "messages", 1 => 1_000_000, restart;
        /// The latest messages of a room that are kept, by their `seq`; older ones are removed. 0: all.
        messages_kept_max: usize = 0, "messages, a room", 0 => 1_000_000_000, restart;
        /// The age at which messages are removed. 0: never.
        messages_kept_days: u64 = 0, "days", 0 => 36_500, restart;
    }
    "Reading: the cost of history" {
        /// Messages in one page.
        messages_page_max: usize = 200, "messages", 1 => 100_000, live;
        /// Rooms in one page.
        rooms_page_max: usize = 1_000, "rooms", 1 => 100_000, live;
        /// The messages of one page, as JSON; a page ends before it exceeds this, and holds at least one message.
        page_bytes_max: usize = 128 * KIB, "bytes", KIB => GIB, restart;
        /// Messages that a client may have missed when it resumes; with more it has to read the history.
        resume_messages_max: usize = 1_000, "messages", 0 => 1_000_000, restart;
        /// Connections to PostgreSQL that read; further reads wait.
        store_readers_max: usize = 8, "connections", 1 => 1_000, restart;
        /// The latest messages of rooms that are kept in memory, up to 256 of a room. 0: pages are always read from disk.
        history_cache_bytes_max: usize = 32 * MIB, "bytes", 0 => 64 * GIB, restart;
    }
    "Handlers: the server from the code that it runs" {
        /// The running time of a call, checked every 5 ms.
        handler_deadline_ms: u64 = 100, "ms, a call", 1 => 60_000, restart;
        /// The linear memory of an instance.
        // Python needs 14 MiB, JavaScript 10, Rust 1.
        handler_memory_bytes_max: usize = 32 * MIB, "bytes, an instance", 64 * KIB => 4 * GIB, restart;
        /// What a call may return, or pass to the host.
        handler_answer_bytes_max: usize = 256 * KIB, "bytes, a call", KIB => 256 * MIB, restart;
        /// The output of a call that is kept: its end.
        handler_log_bytes_max: usize = 4 * KIB, "bytes, a call", 0 => MIB, restart;
        /// Calls that an instance answers before it is replaced. 1: a new instance for each call.
        handler_calls_per_instance_max: usize = 10_000, "calls", 1 => 1_000_000_000, restart;
        /// Idle instances that are kept.
        handler_instances_max: usize = 64, "instances, a handler", 1 => 4_096, restart;
        /// Calls that may run past their first milliseconds at the same time; one more is ended.
        // Each occupies one of the runtime's 512 blocking threads.
        handler_slow_calls_max: usize = 4, "calls", 1 => 256, restart;
        /// How long a client is not read after a handler failed on its frame and took more than 2 ms.
        handler_overrun_pause_ms: u64 = 400, "ms", 0 => 60_000, restart;
        /// The stack of a call.
        // It is part of the calling thread's stack of 2 MiB.
        handler_stack_bytes_max: usize = MIB, "bytes, a call", 64 * KIB => MIB, restart;
        /// A handler's file.
        handler_file_bytes_max: usize = 32 * MIB, "bytes", KIB => GIB, restart;
        /// The table of cases that comes with a version.
        handler_cases_bytes_max: usize = MIB, "bytes", 0 => 64 * MIB, restart;
        /// How long compiling a handler may take.
        // A component of 18 MB with a Python interpreter takes 10 s of one processor.
        handler_compile_ms_max: u64 = 120_000, "ms", 100 => DAY_MS, restart;
        /// The memory of the compiler process, without mapped files.
        // That component needs 600 MiB on two threads, 850 on eight.
        handler_compile_memory_bytes_max: usize = 3 * GIB / 2, "bytes", 64 * MIB => 64 * GIB, restart;
    }
    "Releases: users from a bad version" {
        /// How long a new version is compared with the baseline. 0 disables probation and automatic rollback.
        probation_ms: u64 = 60_000, "ms", 0 => DAY_MS, live;
        /// Faults during probation, on calls that the baseline answers, that trigger a rollback.
        probation_faults_max: usize = 3, "faults", 1 => 1_000_000, live;
        /// The percentage of such faults above which a rollback is triggered.
        probation_fault_percent_max: usize = 1, "%", 0 => 100, live;
        /// Calls needed before the fault percentage is evaluated.
        probation_calls_min: usize = 100, "calls", 1 => 1_000_000, live;
        /// How many times as long as the baseline a version may take before it is slow, at the median and at the 99th percentile.
        probation_slowdown_max: usize = 5, "times", 2 => 1_000, live;
        /// The median below which a version is never slow, whatever the baseline takes; ten times that at the 99th percentile.
        probation_slowdown_floor_ms: u64 = 1, "ms", 0 => 60_000, live;
        /// The median above which a slow version is rolled back; below it the operator is warned.
        probation_slowdown_rollback_ms: u64 = 10, "ms", 0 => 60_000, live;
        /// Calls that may wait for the shadow; further calls are not copied to it.
        shadow_queue_max: usize = 1_024, "calls", 1 => 1_000_000, live;
        /// The size of those calls and their answers; further calls are not copied to it.
        shadow_queue_bytes_max: usize = 16 * MIB, "bytes", KIB => GIB, live;
        /// The first differences between the shadow and the active release that are kept.
        shadow_differences_max: usize = 20, "differences", 0 => 1_000, live;
        /// Components that are kept, the active one included; each with as many of its settings.
        versions_kept_max: usize = 20, "components, a handler", 2 => 1_000, restart;
        /// Releases kept in the history. Rejected releases are counted separately.
        releases_kept_max: usize = 1_000, "releases", 10 => 1_000_000, restart;
        /// How long a deploy waits until all other hosts have prepared it; longer rejects it.
        deploy_agree_ms: u64 = 30_000, "ms", 100 => DAY_MS, restart;
    }
    "Hosts: rooms from hosts that come and go" {
        /// How long users of a host that is gone may take to come back before their rooms hear that they left.
        presence_grace_ms: u64 = 5_000, "ms", 1 => DAY_MS, restart;
        /// How long a room without connections keeps its home; then the next host that needs it becomes its home.
        room_idle_ms: u64 = 60_000, "ms", 1 => DAY_MS, restart;
    }
    "Several hosts: how long each is waited for" {
        /// A host that has not shown for so long that it lives is dead, and its rooms find another home.
        // Beats come every 500 ms; those that are 1.5 s apart are a break.
        host_lost_ms: u64 = 3_000, "ms", 2_000 => 600_000, restart;
        /// How long a client that comes into a room, and a frame while the bus is away, wait for the room's home; longer is answered with `busy`.
        bus_wait_ms: u64 = 5_000, "ms", 1 => DAY_MS, restart;
    }
    "Operation: the admin API, the log and the end" {
        /// Connections to the admin API; further ones wait.
        admin_connections_max: usize = 16, "connections", 1 => 1_024, restart;
        /// From the head of an admin API request to the end of its body; longer is answered with 408.
        admin_body_ms_max: u64 = 60_000, "ms", 1 => DAY_MS, restart;
        /// Log lines that may wait for the reader of standard error; further lines are dropped and counted.
        log_queue_max: usize = 8_192, "lines", 1 => 1_000_000, restart;
        /// How long `SIGTERM` warns before the shutdown: half not ready, then sockets are closed one after another.
        drain_ms: u64 = 4_000, "ms", 0 => DAY_MS, live;
        /// How long a shutdown may take before the remaining connections are cut off.
        shutdown_grace_ms: u64 = 10_000, "ms", 0 => DAY_MS, live;
    }
}
