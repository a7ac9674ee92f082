//! Reading the configuration again, by a function of the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::Request;
use serde::Serialize;

use super::{AdminApi, ok};
use crate::http::answer::{Answer, HttpError};
use crate::http::body::Body;

/// Reads the configuration again. An error is all that is wrong with it, a problem a line.
pub type ReloadConfig = Box<dyn Fn() -> Result<Reloaded, String> + Send + Sync>;

/// What a reload led to, by the names of the settings.
#[derive(Debug, Serialize)]
pub struct Reloaded {
    /// Those that have changed.
    pub live: Vec<String>,
    /// Those that need a restart.
    pub restart: Vec<String>,
    /// The handlers that do not take their settings, each with the reason.
    pub rejected: BTreeMap<&'static str, String>,
}

impl AdminApi {
    /// Its body is not read.
    pub(super) async fn reload(&self, _request: &Request<Body>) -> Result<Answer, HttpError> {
        let reload = Arc::clone(&self.reload);
        let reloaded = tokio::task::spawn_blocking(move || reload()).await;
        let reloaded = reloaded.unwrap_or_else(|error| Err(error.to_string()));
        ok(&reloaded.map_err(HttpError::Configuration)?)
    }
}
