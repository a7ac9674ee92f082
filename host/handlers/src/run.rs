//! Running handlers: an engine, a sandbox with limits, versions with their instances, and the built-in handlers that
//! answer where one fails. Knows nothing of how a component comes to be admitted, nor of which versions are active.

pub(crate) mod answers;
pub(crate) mod asked_keys;
pub(crate) mod call;
pub(crate) mod call_figures;
pub(crate) mod code_cache;
pub(crate) mod contract;
pub(crate) mod deadline;
pub(crate) mod engine;
pub(crate) mod exports;
pub(crate) mod fallback;
pub(crate) mod fault;
pub(crate) mod fault_history;
pub(crate) mod handler_log;
pub(crate) mod instance;
pub(crate) mod instance_count;
pub(crate) mod kind;
pub(crate) mod latency_histogram;
pub(crate) mod limits;
pub(crate) mod output;
pub(crate) mod pool;
pub(crate) mod recorder;
pub(crate) mod sandbox;
pub(crate) mod setting;
pub(crate) mod state;
pub(crate) mod text;
pub(crate) mod version;
pub(crate) mod version_set;
pub(crate) mod versions;
pub(crate) mod warm_up;
pub(crate) mod wasi;
