//! Liveness and readiness, for supervisors and load balancers. Says what is not ready and not why, since the endpoint is open to
//! everyone.

use hyper::{Request, StatusCode};
use serde_json::json;

use super::answer::{self, Answer, HttpError};
use super::routes::read_only;
use super::state::Phase;
use crate::chat::{Chat, SHUTTING_DOWN};

/// Answers `/healthz` and `/readyz`. None for any other path.
pub(super) fn answer(chat: &Chat, phase: Phase, request: &Request<impl Sized>) -> Option<Result<Answer, HttpError>> {
    let path = request.uri().path();
    if !is_path(path) {
        return None;
    }
    Some(read_only(request.method(), || if path == "/healthz" { Ok(fine("ok")) } else { ready(chat, phase) }))
}

/// Whether a path is one of the two.
pub(super) fn is_path(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

fn ready(chat: &Chat, phase: Phase) -> Result<Answer, HttpError> {
    if phase > Phase::Running {
        return Err(HttpError::NotReady(SHUTTING_DOWN.to_owned()));
    }
    match chat.ready() {
        Ok(()) => Ok(fine("ready")),
        // The names are public; the reasons are for the log and the admin API.
        Err(not) if not.storage => Err(HttpError::NotReady("the database cannot be written".to_owned())),
        Err(not) if not.handlers.is_empty() => {
            Err(HttpError::NotReady("the other hosts of the chat cannot be heard".to_owned()))
        }
        Err(not) => {
            let names: Vec<&str> = not.handlers.iter().map(|handler| handler.name()).collect();
            let verb = if names.len() == 1 { "is" } else { "are" };
            Err(HttpError::NotReady(format!("{} {verb} failing", names.join(" and "))))
        }
    }
}

fn fine(status: &str) -> Answer {
    answer::json(StatusCode::OK, &json!({ "status": status }))
}
