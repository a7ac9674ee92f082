//! Whether the process runs, and whether it can serve: for whatever starts it and whatever sends it traffic. Tells no
//! more than that and who does not answer, since anybody may ask.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde_json::json;

use super::Phase;
use super::answer::{self, Answer, HttpError};
use super::routes::read_only;
use crate::chat::Chat;

/// Answers `/healthz` and `/readyz`. None: something else was asked.
pub(super) fn answer(chat: &Chat, phase: Phase, request: &Request<Incoming>) -> Option<Result<Answer, HttpError>> {
    let path = request.uri().path();
    if path != "/healthz" && path != "/readyz" {
        return None;
    }
    Some(read_only(request.method(), || if path == "/healthz" { Ok(fine("ok")) } else { ready(chat, phase) }))
}

fn ready(chat: &Chat, phase: Phase) -> Result<Answer, HttpError> {
    if phase > Phase::Running {
        return Err(HttpError::NotReady("the server is shutting down".to_owned()));
    }
    match chat.ready() {
        Ok(()) => Ok(fine("ready")),
        // Which is no secret; why is for the log and for the operator.
        Err(not) if not.storage => Err(HttpError::NotReady("nothing can be stored".to_owned())),
        Err(not) => {
            let names: Vec<&str> = not.handlers.iter().map(|handler| handler.name()).collect();
            let verb = if names.len() == 1 { "does" } else { "do" };
            Err(HttpError::NotReady(format!("{} {verb} not answer", names.join(" and "))))
        }
    }
}

fn fine(status: &str) -> Answer {
    answer::json(StatusCode::OK, &json!({ "status": status }))
}
