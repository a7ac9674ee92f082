//! A server that takes over from one that still ends.

use std::process::ExitStatus;

use anyhow::Result;

use super::TestServer;
use crate::{
    deadline::{until, within},
    process::{come_up, spawn},
};

impl TestServer {
    /// Starts the next server on the same data and the same port while this one still ends, again and again until the data is
    /// free. Returns the exit status of the former.
    ///
    /// # Errors
    /// When the one does not end, or the other does not start.
    pub async fn hand_over(&mut self) -> Result<ExitStatus> {
        let next = async {
            loop {
                match come_up(spawn(&self.address, &self.setup, &self.home)?).await {
                    Err(error)
                        if ["another server", "uses this database"]
                            .iter()
                            .any(|text| error.to_string().contains(text)) => {}
                    next => return next,
                }
            }
        };
        let (process, startup, log) = within("the next server", next).await??;
        eprintln!("── log of the former server at {} ──\n{}", self.address, self.log.since(0).join("\n"));
        let mut former = std::mem::replace(&mut self.process, process);
        (self.startup, self.log) = (startup, log);
        until("the former server's end", async || former.try_wait().ok().flatten()).await
    }
}
