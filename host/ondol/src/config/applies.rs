//! When a changed value applies.

/// When a value that was changed in a file or the environment applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// After a reload.
    Live,
    /// After a restart.
    Restart,
}

/// In the tables of settings: `live` or `restart`.
macro_rules! applies {
    (live) => {
        $crate::config::applies::Applies::Live
    };
    (restart) => {
        $crate::config::applies::Applies::Restart
    };
}

pub(super) use applies;
