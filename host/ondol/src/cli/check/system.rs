//! What the system lets this process do: a hardened unit, a container or a quota may forbid what `ondol serve` needs.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;

use crate::config::{AdminAddress, Config};
use crate::server;
use ondol_host_store::schema_version;

/// What is fine, or the reason why something is not.
pub(super) type Finding = anyhow::Result<String>;

/// Checks the directories that are written, the database, and the limit of open files.
pub(super) fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![writable("data", &config.data)];
    findings.extend(config.cache.as_deref().map(|cache| writable("cache", cache)));
    if let Some(AdminAddress::Unix(socket)) = &config.admin {
        findings.push(writable("admin", socket.parent().unwrap_or(Path::new("."))));
    }
    findings.push(database(config));
    findings.push(connections(config));
    findings
}

/// Whether a database that exists is one that this server can use.
fn database(config: &Config) -> Finding {
    let file = config.data.join("ondol.db");
    let path = file.display();
    match schema_version(&file).with_context(|| format!("database: {path}"))? {
        Some(version) => Ok(format!("database: {path} has schema version {version}")),
        None => Ok(format!("database: {path} is created at the first start")),
    }
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
