//! Admitting handlers: from files and uploads to versions that can be active. Knows nothing of which ones are.

pub(crate) mod admission;
pub(crate) mod candidate;
pub(crate) mod cases;
pub(crate) mod compiler_process;
pub(crate) mod component;
pub(crate) mod dynamic_call;
pub(crate) mod error;
pub(crate) mod file;
pub(crate) mod file_kind;
pub(crate) mod handler_file;
pub(crate) mod inspect;
pub(crate) mod json_difference;
pub(crate) mod smoke;
pub(crate) mod source;
pub(crate) mod watch;
