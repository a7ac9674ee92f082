//! The users of whom a room's connections have heard that they are present. A room whose members are on several hosts keeps
//! them: each host compares them with what the room's home knows. Knows no connection.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ondol_host_model::Speaker;

/// A user who has come, or has gone, as a room's connections hear of it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The user.
    pub user: Arc<Speaker>,
    /// Whether the user is present from now on.
    pub is_present: bool,
}

/// The users, by their ids. None: not known, or not kept.
#[derive(Default)]
pub(super) struct Announced(Option<HashMap<String, Arc<Speaker>>>);

impl Announced {
    /// Keeps them from now on. True: it did not before.
    pub(super) fn begin(&mut self) -> bool {
        let is_new = self.0.is_none();
        self.0.get_or_insert_default();
        is_new
    }

    /// Notes a change that is put.
    pub(super) fn note(&mut self, Change { user, is_present }: &Change) {
        let Some(users) = &mut self.0 else { return };
        if *is_present {
            users.insert(user.id.clone(), Arc::clone(user));
        } else {
            users.remove(&user.id);
        }
    }

    /// All of them.
    pub(super) fn users(&self) -> Vec<Arc<Speaker>> {
        self.0.iter().flat_map(HashMap::values).cloned().collect()
    }

    /// What changes if these are present, and no others. Those who have gone first.
    pub(super) fn changes_to(&self, present: &[Arc<Speaker>]) -> Vec<Change> {
        let is_known = |user: &&Arc<Speaker>| self.0.as_ref().is_some_and(|users| users.contains_key(&user.id));
        let ids: HashSet<&str> = present.iter().map(|user| user.id.as_str()).collect();
        let gone = self.0.iter().flat_map(HashMap::values).filter(|user| !ids.contains(user.id.as_str()));
        let gone = gone.map(|user| Change { user: Arc::clone(user), is_present: false });
        let come = present.iter().filter(|user| !is_known(user));
        gone.chain(come.map(|user| Change { user: Arc::clone(user), is_present: true })).collect()
    }
}
