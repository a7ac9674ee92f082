//! What hosts agree on before one of them records a release: each has prepared it. And on which hosts it is active afterwards.
//! A host counts as long as the database says that it lives and it was heard on the bus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Hosts;
use super::record::Record;
use super::release_record::{Proposal, ReleaseNews};
use crate::chat::releases::Releases;
use ondol_host_handlers::SlownessOverride;
use ondol_host_store::HostState;

/// How often a host that has not answered is asked again: it may have missed the question.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked whether a host that is waited for has gone.
const LOOK: Duration = Duration::from_millis(50);

/// How long after its start a host may be heard on the bus and not be seen in the database yet, or the other way round.
const APPEAR_MAX: Duration = Duration::from_secs(1);

/// How long the answer to a deploy waits for hosts that do not have the release yet.
const SPREAD_MAX: Duration = Duration::from_secs(5);

/// What other hosts have said about releases.
pub(super) struct Agreeing {
    state: Mutex<State>,
    news: Condvar,
    answer_ms_max: u64,
}

#[derive(Default)]
struct State {
    /// The last proposal of this host.
    last: u64,
    /// By the number of a proposal and that of a host. None: that host has prepared it.
    answers: BTreeMap<u64, BTreeMap<i32, Option<String>>>,
    /// The release that each host runs.
    releases: BTreeMap<i32, i64>,
    /// What this host is preparing: by the number of another host and that of its proposal.
    preparing: BTreeSet<(i32, u64)>,
}

/// What the answers to a proposal come to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Agreed,
    Refused(Vec<String>),
    /// These have not answered.
    Open(Vec<i32>),
}

impl Agreeing {
    pub(super) fn new(answer_ms_max: u64) -> Self {
        Self { state: Mutex::default(), news: Condvar::new(), answer_ms_max }
    }

    /// Notes the release that a host runs. True: it was not heard before.
    pub(super) fn runs(&self, host: i32, release: i64) -> bool {
        let before = self.lock().releases.insert(host, release);
        if before != Some(release) {
            self.news.notify_all();
        }
        before.is_none()
    }

    pub(super) fn forget(&self, host: i32) {
        self.lock().releases.remove(&host);
    }

    fn answered(&self, host: i32, proposal: u64, reason: Option<String>) {
        if let Some(answers) = self.lock().answers.get_mut(&proposal) {
            answers.insert(host, reason);
        }
        self.news.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for news.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.news.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Hosts {
    /// Asks all other hosts to prepare a release whose versions are stored, and waits until each can make it active at once. Waits,
    /// so not for a worker.
    ///
    /// # Errors
    ///
    /// A sentence about each host that cannot, or that has not answered within `deploy_agree_ms`.
    pub(in crate::chat) fn agree(
        &self,
        versions: [String; 3],
        probation: Option<SlownessOverride>,
    ) -> Result<(), Vec<String>> {
        let number = {
            let mut state = self.agreeing.lock();
            state.last += 1;
            let number = state.last;
            state.answers.insert(number, BTreeMap::new());
            number
        };
        let outcome = self.ask_all(Proposal { number, versions, probation });
        self.agreeing.lock().answers.remove(&number);
        outcome
    }

    fn ask_all(&self, proposal: Proposal) -> Result<(), Vec<String>> {
        let (number, question) = (proposal.number, Record::Releases(ReleaseNews::Prepare(proposal)));
        let limit_ms = self.agreeing.answer_ms_max;
        let (since, mut asked) = (Instant::now(), BTreeMap::<i32, Instant>::new());
        self.look();
        loop {
            let others = self.others(since);
            let answers = self.agreeing.lock().answers.get(&number).cloned().unwrap_or_default();
            let open = match outcome(&others, &answers) {
                Outcome::Agreed => return Ok(()),
                Outcome::Refused(reasons) => return Err(reasons),
                Outcome::Open(open) => open,
            };
            if since.elapsed() >= Duration::from_millis(limit_ms) {
                let name = |host: &i32| others.get(host).cloned().unwrap_or_default();
                let late =
                    |host: &i32| format!("host {} has not answered within deploy_agree_ms = {limit_ms}", name(host));
                return Err(open.iter().map(late).collect());
            }
            for host in open {
                if asked.get(&host).is_none_or(|asked| asked.elapsed() >= ASK_AGAIN) {
                    asked.insert(host, Instant::now());
                    let _ = self.send(host, &question, &[]);
                }
            }
            let state = self.agreeing.lock();
            if state.answers.get(&number) == Some(&answers) {
                drop(self.agreeing.wait(state));
            }
        }
    }

    /// Tells all hosts that a release is active here, and waits until it is there as well, though not for long. Returns the names
    /// of the hosts on which it is active, this one among them.
    pub(in crate::chat) fn spread(&self, release: u64) -> Vec<String> {
        self.tell_active(release);
        let (since, release) = (Instant::now(), i64::try_from(release).unwrap_or_default());
        self.look();
        loop {
            let others = self.others(since);
            let state = self.agreeing.lock();
            let has_it = |host: &i32| state.releases.get(host).is_some_and(|runs| *runs >= release);
            let having: Vec<_> = others.keys().copied().filter(has_it).collect();
            if having.len() == others.len() || since.elapsed() >= SPREAD_MAX || !self.bus.is_echoing() {
                return self.names(|host| host == self.no || having.contains(&host));
            }
            drop(self.agreeing.wait(state));
        }
    }

    /// Tells all hosts that a release is active here.
    pub(super) fn tell_active(&self, release: u64) {
        self.heard_of_release(i64::try_from(release).unwrap_or_default());
        self.tell_others(&ReleaseNews::Active { release });
    }

    /// Tells each other host something about releases.
    pub(super) fn tell_others(&self, news: &ReleaseNews) {
        let record = Record::Releases(news.clone());
        for host in self.others(Instant::now()).into_keys() {
            let _ = self.send(host, &record, &[]);
        }
    }

    /// The other hosts that are there, by number, with their names, for a question that began at `since`. One that is only seen or
    /// only heard may have just started. It is waited for a moment, and follows when it is there.
    fn others(&self, since: Instant) -> BTreeMap<i32, String> {
        let Some(neighbours) = self.pipeline.store.hosts() else { return BTreeMap::new() };
        let (neighbours, heard) = (neighbours.borrow().clone(), self.agreeing.lock().releases.clone());
        let may_appear = since.elapsed() < APPEAR_MAX;
        let seen = neighbours.values().filter(|host| host.no != self.no && host.state != HostState::Joining);
        let seen = seen.filter(|host| may_appear || heard.contains_key(&host.no));
        let unseen = heard.keys().filter(|host| may_appear && !neighbours.contains_key(host));
        let unseen = unseen.map(|host| (*host, host.to_string()));
        seen.map(|host| (host.no, host.name.clone())).chain(unseen).collect()
    }

    fn names(&self, is_named: impl Fn(i32) -> bool) -> Vec<String> {
        let Some(neighbours) = self.pipeline.store.hosts() else { return Vec::new() };
        let neighbours = neighbours.borrow();
        let mut names: Vec<_> =
            neighbours.values().filter(|host| is_named(host.no)).map(|host| host.name.clone()).collect();
        names.sort();
        names
    }
}

fn outcome(others: &BTreeMap<i32, String>, answers: &BTreeMap<i32, Option<String>>) -> Outcome {
    let mut reasons = Vec::new();
    for (host, name) in others {
        if let Some(Some(reason)) = answers.get(host) {
            reasons.push(format!("host {name} cannot prepare it: {reason}"));
        }
    }
    if !reasons.is_empty() {
        return Outcome::Refused(reasons);
    }
    let open: Vec<_> = others.keys().copied().filter(|host| !answers.contains_key(host)).collect();
    if open.is_empty() { Outcome::Agreed } else { Outcome::Open(open) }
}

/// Takes what a host says about releases.
pub(super) fn hear(hosts: &Arc<Hosts>, releases: &Arc<Releases>, from: i32, news: ReleaseNews) {
    match news {
        ReleaseNews::Prepare(proposal) => prepare(hosts, releases, from, proposal),
        ReleaseNews::Prepared { proposal, reason } => hosts.agreeing.answered(from, proposal, reason),
        ReleaseNews::Active { release } => hosts.heard_of_release(i64::try_from(release).unwrap_or_default()),
        ReleaseNews::Canary(canary) => {
            hosts.canaries().hear(canary);
            hosts.follow_now();
        }
    }
}

/// Prepares what another host is about to make active, beside all else, and answers. One that is being prepared already is
/// answered once.
fn prepare(hosts: &Arc<Hosts>, releases: &Arc<Releases>, from: i32, proposal: Proposal) {
    let number = proposal.number;
    if !hosts.agreeing.lock().preparing.insert((from, number)) {
        return;
    }
    let (hosts, releases) = (Arc::clone(hosts), Arc::clone(releases));
    tokio::task::spawn_blocking(move || {
        let reason = releases.prepare(proposal).err().map(|error| error.to_string());
        match &reason {
            None => tracing::info!(from, "what host {from} is about to make active is prepared"),
            Some(reason) => tracing::warn!(from, reason, "what host {from} wants to make active cannot be: {reason}"),
        }
        hosts.agreeing.lock().preparing.remove(&(from, number));
        let _ = hosts.send(from, &Record::Releases(ReleaseNews::Prepared { proposal: number, reason }), &[]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(of: &[i32]) -> BTreeMap<i32, String> {
        of.iter().map(|host| (*host, format!("chat-{host}"))).collect()
    }

    #[test]
    fn all_that_are_there_have_to_answer_and_one_that_cannot_is_named() {
        let mut answers = BTreeMap::new();
        assert_eq!(outcome(&hosts(&[]), &answers), Outcome::Agreed);
        assert_eq!(outcome(&hosts(&[2, 3]), &answers), Outcome::Open(vec![2, 3]));
        answers.insert(2, None);
        assert_eq!(outcome(&hosts(&[2, 3]), &answers), Outcome::Open(vec![3]));
        assert_eq!(outcome(&hosts(&[2]), &answers), Outcome::Agreed, "3 is gone");
        answers.insert(4, Some("events: too large".to_owned()));
        assert_eq!(outcome(&hosts(&[2]), &answers), Outcome::Agreed, "so is 4");
        let refused = Outcome::Refused(vec!["host chat-4 cannot prepare it: events: too large".to_owned()]);
        assert_eq!(outcome(&hosts(&[2, 3, 4]), &answers), refused, "3 is not waited for");
    }

    #[test]
    fn an_answer_to_what_is_not_asked_any_more_is_none() {
        let agreeing = Agreeing::new(1);
        agreeing.answered(2, 7, None);
        assert!(agreeing.lock().answers.is_empty());
    }
}
