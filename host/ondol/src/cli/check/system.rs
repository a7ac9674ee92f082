//! What the system lets this process do: a hardened unit, a container or a quota may forbid what `ondol serve` needs.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use crate::config::{AdminAddress, Config};
use crate::server;

/// What is fine, or the reason why something is not.
pub(super) type Finding = anyhow::Result<String>;

/// Checks the directories that are written, and the limit of open files.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![writable("data", &config.data)];
    findings.extend(config.cache.as_deref().map(|cache| writable("cache", cache)));
    if let Some(AdminAddress::Unix(socket)) = &config.admin {
        findings.push(writable("admin", socket.parent().unwrap_or(Path::new("."))));
    }
    findings.push(connections(config));
    findings
}

/// Whether a directory can be written, or created. Leaves no trace.
fn writable(name: &str, directory: &Path) -> Finding {
    let existing = directory.ancestors().find(|place| place.exists() || place.as_os_str().is_empty());
    let existing = existing.filter(|place| !place.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let trial = existing.join(format!(".ondol-check-{}", std::process::id()));
    let tried: io::Result<()> = fs::create_dir(&trial).and_then(|()| fs::remove_dir(&trial));
    tried.with_context(|| {
        format!(
            "{name}: {} cannot be written; under ProtectSystem or ProtectHome, a systemd unit needs StateDirectory or \
             ReadWritePaths",
            existing.display()
        )
    })?;
    Ok(format!("{name}: {} can be written", directory.display()))
}

/// How many connections the limit of open files allows, and whether that is as many as configured.
fn connections(config: &Config) -> Finding {
    let (files, connections) = (server::open_files_max(), server::connections_max(&config.limits));
    let needed = connections.saturating_add(server::DESCRIPTORS_KEPT);
    anyhow::ensure!(
        needed <= files,
        "connections: connections_max = {connections} needs {needed} open files, but the limit is {files}: raise LimitNOFILE \
         of the unit, or `ulimit -Hn`"
    );
    Ok(format!("connections: {connections} at once, with {files} open files"))
}
