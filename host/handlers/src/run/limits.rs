//! What the config sets for this crate: its limits, and what answers for a handler that fails. Knows no file and no
//! default.

use super::kind::HandlerKind;

/// Handles of one instance to the host's resources (streams, above all).
pub(crate) const HANDLES_MAX: usize = 1_000;

/// Table elements of one instance. Rust's own tables hold its functions, some hundred.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Every limit of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandlersLimits {
    /// Of running handlers.
    pub sandbox: SandboxLimits,
    /// Of what is admitted.
    pub admission: AdmissionLimits,
    /// Of the compiler process.
    pub compiler: CompilerLimits,
    /// Of probations and shadows.
    pub rollout: RolloutLimits,
}

/// The limits of running handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxLimits {
    /// Of calls to a component that is not known to be one of the three handlers.
    pub calls: CallLimits,
    /// Of calls to each handler, in the order of [`HandlerKind::ALL`].
    pub calls_of: [CallLimits; 3],
    /// Idle instances that are kept for each handler.
    pub handler_instances_max: usize,
    /// Calls that may run past their first milliseconds at the same time.
    pub handler_slow_calls_max: usize,
}

/// The limits of a call and of the instance that it runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// The running time of a call.
    pub handler_deadline_ms: u64,
    /// The linear memory of an instance.
    pub handler_memory_bytes_max: usize,
    /// The stack of a call.
    pub handler_stack_bytes_max: usize,
    /// What a call may return, or pass to the host.
    pub handler_answer_bytes_max: usize,
    /// The output of a call that is kept: its end.
    pub handler_log_bytes_max: usize,
    /// Calls that an instance answers before it is replaced.
    pub handler_calls_per_instance_max: usize,
}

/// The limits of what is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// The component.
    pub handler_file_bytes_max: usize,
    /// The table of cases that comes with it.
    pub handler_cases_bytes_max: usize,
}

/// The limits of the compiler process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompilerLimits {
    /// Its running time.
    pub handler_compile_ms_max: u64,
    /// Its memory, without mapped files.
    pub handler_compile_memory_bytes_max: usize,
}

/// The limits of probations and shadows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolloutLimits {
    /// How long a new version is compared with the baseline. 0: not at all.
    pub probation_ms: u64,
    /// The faults that trigger a rollback.
    pub probation_faults_max: usize,
    /// The percentage of faults above which a rollback is triggered.
    pub probation_fault_percent_max: usize,
    /// Calls needed before the percentage is evaluated.
    pub probation_calls_min: usize,
    /// How many times as long as the baseline a version may take.
    pub probation_slowdown_max: usize,
    /// The median below which no version is slow.
    pub probation_slowdown_floor_ms: u64,
    /// The median above which a slow version is rolled back.
    pub probation_slowdown_rollback_ms: u64,
    /// Calls that may wait for the shadow.
    pub shadow_queue_max: usize,
    /// The size of those calls and their answers.
    pub shadow_queue_bytes_max: usize,
    /// The first differences that are kept.
    pub shadow_differences_max: usize,
}

/// What answers for a handler that fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failure {
    /// For the `rooms` handler.
    pub rooms: OnFault,
    /// For the `messages` handler.
    pub messages: OnFault,
    /// For the `events` handler.
    pub events: OnFault,
}

/// What becomes of a call that a handler failed at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFault {
    /// The caller receives an error.
    #[default]
    Refuse,
    /// The default handler that is built into the host answers.
    Default,
}

impl SandboxLimits {
    /// The limits of calls to a handler. None: it is not known to be one of the three.
    pub(crate) fn calls_of(&self, handler: Option<HandlerKind>) -> &CallLimits {
        let [rooms, messages, events] = &self.calls_of;
        match handler {
            Some(HandlerKind::Rooms) => rooms,
            Some(HandlerKind::Messages) => messages,
            Some(HandlerKind::Events) => events,
            None => &self.calls,
        }
    }
}

impl Failure {
    /// What becomes of calls that this handler failed at.
    #[must_use]
    pub fn of(self, handler: HandlerKind) -> OnFault {
        match handler {
            HandlerKind::Rooms => self.rooms,
            HandlerKind::Messages => self.messages,
            HandlerKind::Events => self.events,
        }
    }
}

#[cfg(test)]
impl HandlersLimits {
    /// Limits for the tests of this crate.
    pub(crate) fn for_tests() -> Self {
        let calls = CallLimits {
            handler_deadline_ms: 10_000,
            handler_memory_bytes_max: 16 << 20,
            handler_stack_bytes_max: 512 << 10,
            handler_answer_bytes_max: 256 << 10,
            handler_log_bytes_max: 4_096,
            handler_calls_per_instance_max: 10_000,
        };
        Self {
            sandbox: SandboxLimits {
                calls,
                calls_of: [calls; 3],
                handler_instances_max: 64,
                handler_slow_calls_max: 4,
            },
            admission: AdmissionLimits { handler_file_bytes_max: 16 << 20, handler_cases_bytes_max: 1 << 20 },
            compiler: CompilerLimits { handler_compile_ms_max: 30_000, handler_compile_memory_bytes_max: 1 << 30 },
            rollout: RolloutLimits {
                probation_ms: 60_000,
                probation_faults_max: 3,
                probation_fault_percent_max: 1,
                probation_calls_min: 100,
                probation_slowdown_max: 5,
                probation_slowdown_floor_ms: 1,
                probation_slowdown_rollback_ms: 10,
                shadow_queue_max: 1_024,
                shadow_queue_bytes_max: 16 << 20,
                shadow_differences_max: 20,
            },
        }
    }
}
