//! All files on the disk, and the plan of its failures. Knows the effect of each call; the calls themselves are made
//! elsewhere.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Chance,
    medium::Medium,
    plan::{Kind, Operation, Plan},
};

/// The disk.
#[derive(Debug)]
pub(super) struct Device {
    plan: Plan,
    /// How many operations each rule has counted.
    counted: Vec<u64>,
    chance: Chance,
    files: BTreeMap<PathBuf, File>,
}

#[derive(Debug)]
struct File {
    medium: Medium,
    /// How many have it open.
    open: usize,
}

impl Device {
    pub(super) fn new(plan: Plan) -> Self {
        let (counted, chance) = (vec![0; plan.rules.len()], Chance::new(plan.seed));
        Self { plan, counted, chance, files: BTreeMap::new() }
    }

    /// The failure that the next operation meets.
    pub(super) fn meets(&mut self, operation: Operation, file: &Path) -> Option<Kind> {
        let mut met = None;
        for (rule, counted) in self.plan.rules.iter().zip(&mut self.counted) {
            if rule.concerns(operation, file) {
                *counted += 1;
                let applies = *counted >= rule.at && *counted - rule.at < rule.times;
                met = met.or(applies.then_some(rule.kind));
            }
        }
        met
    }

    /// Prepares a file to be opened. No lock may be held on a file that is not open: reading it here would release the
    /// lock.
    pub(super) fn opening(&mut self, path: &Path) -> io::Result<()> {
        match self.files.get_mut(path) {
            None => {
                let medium = match fs::read(path) {
                    Ok(content) => Medium::found(content),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                    Err(error) => return Err(error),
                };
                self.files.insert(path.to_owned(), File { medium, open: 0 });
            }
            Some(file) if file.open == 0 => {
                if let Some(content) = file.medium.without_cache() {
                    fs::write(path, content)?;
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Records that a file is open, and was created if it is new.
    pub(super) fn opened(&mut self, path: &Path) {
        let created = || File { medium: Medium::created(), open: 0 };
        let file = self.files.entry(path.to_owned()).or_insert_with(created);
        file.medium.create_again();
        file.open += 1;
    }

    pub(super) fn closed(&mut self, path: &Path) {
        if let Some(file) = self.files.get_mut(path) {
            file.open -= 1;
        }
    }

    pub(super) fn wrote(&mut self, path: &Path, at: usize, bytes: &[u8]) {
        self.change(path, |medium, _| medium.write(at, bytes));
    }

    pub(super) fn truncated(&mut self, path: &Path, length: usize) {
        self.change(path, |medium, _| medium.truncate(length));
    }

    /// Makes a file durable. For one that it has created, SQLite syncs the directory too, and so the names of all.
    pub(super) fn synced(&mut self, path: &Path) {
        if self.files.get(path).is_some_and(|file| file.medium.is_new()) {
            let beside = self.files.iter_mut().filter(|(other, _)| other.parent() == path.parent());
            beside.for_each(|(_, file)| file.medium.sync_name());
        }
        self.change(path, |medium, _| medium.sync());
    }

    pub(super) fn sync_failed(&mut self, path: &Path) {
        self.change(path, Medium::fail_sync);
    }

    pub(super) fn deleted(&mut self, path: &Path, durably: bool) {
        self.change(path, |medium, _| medium.delete(durably));
    }

    fn change(&mut self, path: &Path, change: impl FnOnce(&mut Medium, &mut Chance)) {
        if let Some(file) = self.files.get_mut(path) {
            change(&mut file.medium, &mut self.chance);
        }
    }

    /// Reduces every file to what a power cut leaves. Nothing else may happen until the process has ended.
    pub(super) fn cut(&mut self) -> io::Result<()> {
        for (path, file) in &self.files {
            match file.medium.after_cut(&mut self.chance) {
                Some(content) => fs::write(path, content)?,
                None if path.exists() => fs::remove_file(path)?,
                None => {}
            }
        }
        Ok(())
    }
}
