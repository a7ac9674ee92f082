//! The calls of the admin API: their methods and paths.

use hyper::Method;

use crate::http::routes::READ;

/// What a request asks for.
#[derive(Clone, Copy)]
pub(super) enum Call {
    Metrics,
    Status,
    Activity,
    Versions,
    DeployOne,
    Configure,
    History,
    Deploy,
    RollBack,
    Diff,
    Canary,
    DropCanary,
    PromoteCanary,
    Shadow,
    StartShadow,
    StopShadow,
    Forgive,
    Reload,
    Logs,
    Record,
    DeleteMessage,
    DeleteMessagesOf,
    Cluster,
    HomeOfRoom,
    DrainHost,
}

const POST: &[Method] = &[Method::POST];
const PUT: &[Method] = &[Method::PUT];
const DELETE: &[Method] = &[Method::DELETE];

/// The calls of the admin API.
pub(super) const CALLS: [(&[Method], &str, Call); 25] = [
    (READ, "/metrics", Call::Metrics),
    (READ, "/v1/status", Call::Status),
    (READ, "/v1/activity", Call::Activity),
    (READ, "/v1/handlers", Call::Versions),
    (POST, "/v1/handlers/{handler}", Call::DeployOne),
    (PUT, "/v1/handlers/{handler}/settings", Call::Configure),
    (READ, "/v1/releases", Call::History),
    (POST, "/v1/releases", Call::Deploy),
    (POST, "/v1/rollback", Call::RollBack),
    (READ, "/v1/diff", Call::Diff),
    (READ, "/v1/canary", Call::Canary),
    (DELETE, "/v1/canary", Call::DropCanary),
    (POST, "/v1/canary/promote", Call::PromoteCanary),
    (READ, "/v1/shadow", Call::Shadow),
    (POST, "/v1/shadow", Call::StartShadow),
    (DELETE, "/v1/shadow", Call::StopShadow),
    (POST, "/v1/forgive", Call::Forgive),
    (POST, "/v1/reload", Call::Reload),
    (READ, "/v1/logs", Call::Logs),
    (READ, "/v1/record", Call::Record),
    (DELETE, "/v1/rooms/{room}/messages/{seq}", Call::DeleteMessage),
    (DELETE, "/v1/users/{user_id}/messages", Call::DeleteMessagesOf),
    (READ, "/v1/cluster", Call::Cluster),
    (READ, "/v1/cluster/rooms/{room}", Call::HomeOfRoom),
    (POST, "/v1/cluster/hosts/{host}/drain", Call::DrainHost),
];
