//! What an author sees of live handlers: the lines that they print, and calls to make cases of.

use std::time::Duration;

use super::Handlers;
use crate::admit::cases::{Recorded, record};
use crate::run::call::Call;
use crate::run::handler_log::HandlerLog;
use crate::run::kind::HandlerKind;
use crate::run::version_set::VersionSet;

impl Handlers {
    /// What handlers print, and their faults.
    #[must_use]
    pub fn log(&self) -> &HandlerLog {
        &self.admission.sandbox().log
    }

    /// Records live calls of a handler until there are `calls_max` or the time is over. None: there is another recording.
    pub async fn record(&self, handler: HandlerKind, calls_max: usize, up_to: Duration) -> Option<Recording> {
        let calls = self.admission.sandbox().recorder.record(handler, calls_max, up_to).await?;
        Some(Recording { handler, calls, versions: self.current().versions().clone() })
    }
}

/// Live calls that were recorded.
pub struct Recording {
    handler: HandlerKind,
    calls: Vec<Call>,
    versions: VersionSet,
}

impl Recording {
    /// The calls as cases: who took part is replaced, and the calls are made once more, to the versions that are active.
    /// Calls handlers, so not for a worker.
    #[must_use]
    pub fn cases(self) -> Recorded {
        let settings = self.versions.settings(self.handler).iter().map(|(key, value)| (key.clone(), value.clone()));
        Recorded { settings: settings.collect(), calls: record(self.calls, &self.versions) }
    }
}
