//! Whether a task repairs a room, and whether it has to try again. There is at most one.

use super::figures;

/// The state of the task.
#[derive(Default)]
pub(super) struct Repairing {
    is_running: bool,
    /// Something was lost since it began its last attempt.
    is_due: bool,
    /// It was asked for since then.
    is_wanted: bool,
    /// There is reason to hope for the next attempt since then.
    is_urgent: bool,
}

impl Repairing {
    /// Something is lost.
    pub(super) fn lose(&mut self) {
        self.is_due = true;
        figures::lost();
    }

    /// True: the caller has to start the task. A task that runs does not give up before its next attempt.
    pub(super) fn start(&mut self) -> bool {
        self.is_wanted = true;
        !std::mem::replace(&mut self.is_running, true)
    }

    /// An attempt begins.
    pub(super) fn begin(&mut self) {
        self.is_due = false;
        self.is_wanted = false;
        self.is_urgent = false;
    }

    /// The task is not to wait before its next attempt.
    pub(super) fn hurry(&mut self) {
        self.is_urgent = true;
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// An attempt has ended well. True: the task has to make another; else it has ended.
    pub(super) fn end(&mut self) -> bool {
        self.is_running = self.is_due;
        self.is_due
    }

    /// The task ends, whatever is lost. False: it was asked for meanwhile, and goes on.
    pub(super) fn give_up(&mut self) -> bool {
        self.is_running = self.is_wanted;
        !self.is_wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_during_an_attempt_takes_another() {
        let mut repairing = Repairing::default();
        repairing.lose();
        assert!(repairing.start() && !repairing.start());
        repairing.begin();
        assert!(!repairing.end());
        assert!(repairing.start(), "it has ended");
        repairing.begin();
        repairing.lose();
        assert!(repairing.end() && !repairing.start(), "it goes on");
    }

    #[test]
    fn what_was_urgent_is_tried_at_once_one_time() {
        let mut repairing = Repairing::default();
        repairing.begin();
        repairing.hurry();
        assert!(repairing.is_urgent());
        repairing.begin();
        assert!(!repairing.is_urgent());
    }

    #[test]
    fn after_a_task_that_gave_up_another_can_start() {
        let mut repairing = Repairing::default();
        assert!(repairing.start());
        repairing.begin();
        repairing.lose();
        assert!(repairing.give_up());
        assert!(repairing.start());
    }

    #[test]
    fn a_task_that_is_asked_for_does_not_give_up() {
        let mut repairing = Repairing::default();
        assert!(repairing.start());
        repairing.begin();
        assert!(!repairing.start(), "it runs");
        assert!(!repairing.give_up(), "who asked waits for it");
        repairing.begin();
        assert!(repairing.give_up());
    }
}
