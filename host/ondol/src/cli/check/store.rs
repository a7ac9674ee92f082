//! Whether a server could use its database.

use anyhow::Context as _;

use crate::config::{Config, StorePlace};
use ondol_host_cluster::BusConfig;
use ondol_host_store::{examine, schema_version};

/// What is fine of a database, and what its operator should change.
pub(super) struct Found {
    pub(super) fine: String,
    pub(super) warnings: Vec<String>,
}

/// Looks at the database, and changes nothing. Waits some seconds for PostgreSQL.
pub(super) fn look(config: &Config) -> anyhow::Result<Found> {
    let shown = config.database_shown();
    match config.store_place()? {
        StorePlace::File(file) => {
            let version = schema_version(&file).with_context(|| format!("database: {shown}"))?;
            Ok(Found { fine: format!("database: {shown} {}", of_schema(version)), warnings: Vec::new() })
        }
        StorePlace::Postgres(place) => {
            let examined = examine(&place).with_context(|| format!("database: {shown}"))?;
            let (host, schema) = (&place.host, of_schema(examined.schema.map(i64::from)));
            let fine = format!("database: {shown} {schema}, in PostgreSQL {}; this host is {host}", examined.version);
            Ok(Found { fine, warnings: examined.warnings })
        }
    }
}

/// Connects to the bus, and hears what it says there. Waits some seconds.
pub(super) fn ask_bus(bus: &BusConfig) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(ondol_host_cluster::examine(bus));
    let version = asked.with_context(|| format!("bus: {}", bus.url))?;
    Ok(format!("bus: {} answers, NATS {version}; the cluster is {}", bus.url, bus.cluster))
}

fn of_schema(version: Option<i64>) -> String {
    version
        .map_or_else(|| "is created at the first start".to_owned(), |version| format!("has schema version {version}"))
}
