//! Metrics as a server writes them, and a real Prometheus that scrapes it. Knows nothing of what they mean.

use std::{
    collections::BTreeMap,
    env, fs,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use ondol_engines::free_address;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    deadline::until,
    http::{Answer, Request},
    server::TestServer,
    user::percent,
};

/// The metrics of one scrape.
#[derive(Debug, Clone)]
pub struct Metrics {
    text: String,
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    /// Asks a server for them, by its admin API.
    ///
    /// # Errors
    /// When it has none.
    pub async fn of(server: &TestServer) -> Result<Self> {
        Self::read(&server.admin("GET", "/metrics")?.send().await?)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// When it is something else.
    pub fn read(answer: &Answer) -> Result<Self> {
        ensure!(answer.status == 200, "no metrics: {answer}");
        let text = answer.text();
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').with_context(|| format!("no sample: {line}"))?;
            ensure!(samples.insert(name.to_owned(), value.parse()?).is_none(), "{name} is there twice");
        }
        Ok(Self { text, samples })
    }

    /// The text of the answer.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many series there are.
    #[must_use]
    pub fn series(&self) -> usize {
        self.samples.len()
    }

    /// The value of one series, by its name and all labels as they are written.
    #[must_use]
    pub fn value(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    /// The series of a metric that have this label, with their values.
    #[must_use]
    pub fn with(&self, metric: &str, label: &str) -> Vec<(&str, f64)> {
        let start = format!("{metric}{{");
        let series = self.samples.iter().filter(|(name, _)| name.starts_with(&start) && name.contains(label));
        series.map(|(name, value)| (name.as_str(), *value)).collect()
    }

    /// The sum of those.
    #[must_use]
    pub fn sum(&self, metric: &str, label: &str) -> f64 {
        self.with(metric, label).iter().map(|(_, value)| value).sum()
    }
}

/// Whether `program` of the package `prometheus` is there. If not, `story` is named as skipped, except under CI, where that
/// is an error.
///
/// # Errors
/// When it is missing where it must not be.
pub fn is_installed(story: &str, program: &str) -> Result<bool> {
    if Command::new(program).arg("--version").output().is_ok() {
        return Ok(true);
    }
    ensure!(env::var_os("CI").is_none(), "{story}: {program} is not installed, and CI is set");
    eprintln!("skipped: {story}: {program} is not installed");
    Ok(false)
}

/// A Prometheus that runs until dropped.
#[derive(Debug)]
pub struct Prometheus {
    process: Child,
    address: String,
    _home: TempDir,
}

impl Prometheus {
    /// Starts one with these files, of which `prometheus.yml` is its configuration, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(files: &[(&str, String)]) -> Result<Self> {
        let (home, address) = (TempDir::with_prefix("ondol-prometheus-")?, free_address());
        for (name, text) in files {
            fs::write(home.path().join(name), text)?;
        }
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", home.path().join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", home.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut prometheus = Self { process: command.spawn()?, address, _home: home };
        until("Prometheus to be ready", async || {
            if let Ok(Some(ended)) = prometheus.process.try_wait() {
                return Some(Err(anyhow::anyhow!("Prometheus has ended: {ended}")));
            }
            let answer = Request::new(&prometheus.address, "GET", "/-/ready").send().await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(Ok(()))
        })
        .await??;
        Ok(prometheus)
    }

    /// The samples that a query has now.
    ///
    /// # Errors
    /// When Prometheus rejects it.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let target = format!("/api/v1/query?query={}", percent(query));
        let answer = Request::new(&self.address, "GET", &target).send().await?.json();
        if answer["status"] != "success" {
            bail!("{query}: {answer}");
        }
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
