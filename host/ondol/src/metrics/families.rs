//! All metrics: name, unit and meaning. Labels are where they are written.

pub(super) mod connections {
    //! Connections, requests and rooms.
    use super::super::writer::{Base, Metric};

    pub(in crate::metrics) const OPEN: Metric =
        Metric("ondol_connections", None, "Open connections of clients, by what they speak.");
    pub(in crate::metrics) const MAX: Metric =
        Metric("ondol_connections_limit", None, "How many connections may be open: connections_max.");
    pub(in crate::metrics) const ACCEPTED: Metric =
        Metric("ondol_connections_accepted", None, "Connections that were accepted.");
    pub(in crate::metrics) const REFUSED: Metric =
        Metric("ondol_connections_refused", None, "Connections over the limit, which were refused.");
    pub(in crate::metrics) const SOCKETS_OPENED: Metric =
        Metric("ondol_websockets_opened", None, "WebSockets that were opened.");
    pub(in crate::metrics) const SOCKETS_CLOSED: Metric =
        Metric("ondol_websockets_closed", None, "WebSockets that ended, by the reason.");
    pub(in crate::metrics) const RESPONSES: Metric =
        Metric("ondol_http_responses", None, "Answers to requests of clients, by the class of their status.");
    pub(in crate::metrics) const TOO_FAST: Metric =
        Metric("ondol_rate_limited", None, "What came faster than a rate and was refused, by the name of the rate.");
    pub(in crate::metrics) const ROOMS: Metric = Metric("ondol_rooms", None, "Rooms with members.");
    pub(in crate::metrics) const MEMBERS: Metric =
        Metric("ondol_room_members", None, "Members of all rooms; a user counts once in each.");
    pub(in crate::metrics) const OUTBOX_BYTES: Metric =
        Metric("ondol_outbox_bytes", Some(Base::Bytes), "Bytes that wait for sockets that are full.");
}

pub(super) mod messages {
    //! Messages, and the database that they go to.
    use super::super::writer::{Base, Metric};

    pub(in crate::metrics) const ACCEPTED: Metric =
        Metric("ondol_messages_accepted", None, "Messages that the messages handler accepted.");
    pub(in crate::metrics) const RELAYED: Metric =
        Metric("ondol_messages_relayed", None, "Payloads that were sent to a room and not stored.");
    pub(in crate::metrics) const REFUSED: Metric =
        Metric("ondol_messages_refused", None, "Frames and requests that came to nothing, by the code of the error.");
    pub(in crate::metrics) const STORED: Metric = Metric("ondol_messages_stored", None, "Messages that are on disk.");
    pub(in crate::metrics) const DELIVERED: Metric = Metric(
        "ondol_messages_delivered",
        None,
        "Messages that were handed to connections; a message counts once for each of them.",
    );
    pub(in crate::metrics) const COMMIT: Metric =
        Metric("ondol_commit_seconds", Some(Base::Seconds), "How long commits of messages took.");
    pub(in crate::metrics) const BATCH: Metric =
        Metric("ondol_commit_messages", None, "How many messages a commit stored.");
    pub(in crate::metrics) const COMMIT_FAILED: Metric =
        Metric("ondol_commit_failures", None, "Messages that could not be stored.");
    pub(in crate::metrics) const COMMIT_WAITING: Metric =
        Metric("ondol_commit_queue", None, "Messages that wait for the next commit.");
    pub(in crate::metrics) const READS: Metric =
        Metric("ondol_database_reads", None, "Reads of the database for requests of clients.");
    pub(in crate::metrics) const LOG_BYTES: Metric =
        Metric("ondol_write_ahead_log_bytes", Some(Base::Bytes), "The size of the write-ahead log.");
}

pub(super) mod handlers {
    //! Handlers, their versions and releases.
    use super::super::writer::{Base, Metric};

    pub(in crate::metrics) const CALL: Metric =
        Metric("ondol_handler_call_seconds", Some(Base::Seconds), "How long calls of handlers took, by version.");
    pub(in crate::metrics) const FAULTS: Metric =
        Metric("ondol_handler_faults", None, "Calls of handlers that failed, by version.");
    pub(in crate::metrics) const INSTANCES: Metric =
        Metric("ondol_handler_instances", None, "Instances of handlers in memory, idle or answering.");
    pub(in crate::metrics) const RELEASE: Metric = Metric("ondol_release", None, "The number of the active release.");
    pub(in crate::metrics) const VERSION_INFO: Metric =
        Metric("ondol_handler_version_info", None, "The versions that answer, and whether as a canary or a shadow.");
    pub(in crate::metrics) const SWAPS: Metric =
        Metric("ondol_swaps", None, "Releases that became active, by what led to it.");
    pub(in crate::metrics) const ROLLBACKS: Metric =
        Metric("ondol_rollbacks", None, "Rollbacks, by an operator or after a failed probation.");
    pub(in crate::metrics) const PROBATIONS: Metric =
        Metric("ondol_probations", None, "Probations that are over, by their outcome.");
    pub(in crate::metrics) const WARNINGS: Metric =
        Metric("ondol_probation_warnings", None, "Versions on probation that were found to be slow.");
    pub(in crate::metrics) const PROBATIONS_RUNNING: Metric =
        Metric("ondol_probations_running", None, "Probations that are going on, that of a canary included.");
    pub(in crate::metrics) const REJECTED: Metric =
        Metric("ondol_versions_rejected", None, "New versions that were rejected, by the admission check.");
    pub(in crate::metrics) const BLOCKED: Metric =
        Metric("ondol_versions_blocked", None, "Versions that failed a probation and are blocked.");
}

pub(super) mod cluster {
    //! The other hosts of the chat, and the bus to them.
    use super::super::writer::{Base, Metric};

    pub(in crate::metrics) const SENT: Metric =
        Metric("ondol_bus_packets_sent", None, "Packets that were sent to other hosts.");
    pub(in crate::metrics) const RECEIVED: Metric =
        Metric("ondol_bus_packets_received", None, "Packets that came from other hosts.");
    pub(in crate::metrics) const MISSED: Metric =
        Metric("ondol_bus_missed", None, "How often packets of another host were missed.");
    pub(in crate::metrics) const ECHO_AGE: Metric = Metric(
        "ondol_bus_echo_age_seconds",
        Some(Base::Seconds),
        "How long ago the last beat of this host came back over the bus.",
    );
    pub(in crate::metrics) const REPAIRS: Metric =
        Metric("ondol_room_repairs", None, "How often a room was caught up, because something of it was lost.");
    pub(in crate::metrics) const UNSETTLED: Metric = Metric(
        "ondol_unsettled_frames",
        None,
        "Frames and requests of clients that were left to another host and have no outcome yet.",
    );
    pub(in crate::metrics) const ROOMS: Metric =
        Metric("ondol_cluster_rooms", None, "Open rooms, by what this host is to them.");
}

pub(super) mod process {
    //! The process as a whole.
    use super::super::writer::{Base, Metric};

    pub(in crate::metrics) const BUILD_INFO: Metric = Metric("ondol_build_info", None, "The version of the server.");
    pub(in crate::metrics) const READY: Metric =
        Metric("ondol_ready", None, "1 if messages can be stored and all handlers answer, as /readyz says.");
    pub(in crate::metrics) const LOG_DROPPED: Metric =
        Metric("ondol_log_lines_dropped", None, "Lines of the log that were dropped, because they were not read.");
    pub(in crate::metrics) const CPU: Metric =
        Metric("process_cpu_seconds", Some(Base::Seconds), "CPU time of the process, user and system.");
    pub(in crate::metrics) const RESIDENT: Metric =
        Metric("process_resident_memory_bytes", Some(Base::Bytes), "Memory of the process that is in use.");
    pub(in crate::metrics) const VIRTUAL: Metric =
        Metric("process_virtual_memory_bytes", Some(Base::Bytes), "Address space of the process.");
    pub(in crate::metrics) const OPEN_FDS: Metric = Metric("process_open_fds", None, "Open file descriptors.");
    pub(in crate::metrics) const MAX_FDS: Metric =
        Metric("process_max_fds", None, "How many file descriptors may be open.");
    pub(in crate::metrics) const THREADS: Metric = Metric("process_threads", None, "Threads of the process.");
    pub(in crate::metrics) const STARTED: Metric =
        Metric("process_start_time_seconds", Some(Base::Seconds), "When the process started, in seconds since 1970.");
}
