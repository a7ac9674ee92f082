//! The limits as the crates below take them.

use super::{DAY_MS, Limits};
use ondol_host_handlers::{
    AdmissionLimits, CallLimits, CompilerLimits, HandlerKind, HandlersLimits, RolloutLimits, SandboxLimits,
};
use ondol_host_store::{MessageRetention, StoreLimits};

impl Limits {
    /// The limits of the handlers crate.
    #[must_use]
    pub fn handlers(&self) -> HandlersLimits {
        let calls = |limits: &Self| CallLimits {
            handler_deadline_ms: limits.handler_deadline_ms,
            handler_memory_bytes_max: limits.handler_memory_bytes_max,
            handler_stack_bytes_max: limits.handler_stack_bytes_max,
            handler_answer_bytes_max: limits.handler_answer_bytes_max,
            handler_log_bytes_max: limits.handler_log_bytes_max,
            handler_calls_per_instance_max: limits.handler_calls_per_instance_max,
        };
        HandlersLimits {
            sandbox: SandboxLimits {
                calls: calls(self),
                calls_of: HandlerKind::ALL.map(|handler| calls(&self.of(handler.name()))),
                handler_instances_max: self.handler_instances_max,
                handler_slow_calls_max: self.handler_slow_calls_max,
            },
            admission: AdmissionLimits {
                handler_file_bytes_max: self.handler_file_bytes_max,
                handler_cases_bytes_max: self.handler_cases_bytes_max,
            },
            compiler: CompilerLimits {
                handler_compile_ms_max: self.handler_compile_ms_max,
                handler_compile_memory_bytes_max: self.handler_compile_memory_bytes_max,
            },
            rollout: RolloutLimits {
                probation_ms: self.probation_ms,
                probation_faults_max: self.probation_faults_max,
                probation_fault_percent_max: self.probation_fault_percent_max,
                probation_calls_min: self.probation_calls_min,
                probation_slowdown_max: self.probation_slowdown_max,
                probation_slowdown_floor_ms: self.probation_slowdown_floor_ms,
                probation_slowdown_rollback_ms: self.probation_slowdown_rollback_ms,
                shadow_queue_max: self.shadow_queue_max,
                shadow_queue_bytes_max: self.shadow_queue_bytes_max,
                shadow_differences_max: self.shadow_differences_max,
            },
        }
    }

    /// The limits of the store crate.
    #[must_use]
    pub fn store(&self) -> StoreLimits {
        let Self { commit_queue_max, commit_batch_max, page_bytes_max, history_cache_bytes_max, .. } = *self;
        let retention =
            MessageRetention { of_room: self.messages_kept_max as u64, age_ms: self.messages_kept_days * DAY_MS };
        StoreLimits { commit_queue_max, commit_batch_max, page_bytes_max, history_cache_bytes_max, retention }
    }
}
