//! The rules of the SQL in a small model, which walks every interleaving of two hosts that claim a room, commit to it, lose
//! connections, settle and declare each other dead, for no reason at all. Knows nothing of PostgreSQL.
//!
//! Each rule is a parameter: without any one of them an interleaving goes wrong.

use std::collections::HashSet;

/// The host that each message comes from. They begin at these hosts as well.
const ORIGINS: [usize; 3] = [0, 1, 1];
const BEGIN_AT: [usize; 3] = [0, 0, 1];

/// How much goes wrong in one interleaving.
const TROUBLES_MAX: usize = 3;

#[derive(Clone, Copy)]
struct Rules {
    /// A host that was declared dead stores nothing.
    fence: bool,
    /// Nor does a call of an earlier session.
    session: bool,
    /// A room is written to by its home.
    home: bool,
    /// A message follows the last one.
    seq: bool,
    /// A room is claimed that has no home which is alive.
    free_claim: bool,
    /// A judgement and a new session wait for the batch that is being stored.
    row_lock: bool,
}

const ALL: Rules = Rules { fence: true, session: true, home: true, seq: true, free_claim: true, row_lock: true };

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Call {
    session: u8,
    batch: u8,
    seq: u8,
    message: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    Stored,
    Fenced,
    OutOfTurn,
}

#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Host {
    has_stepped_down: bool,
    /// It numbers messages.
    is_numbering: bool,
    /// It does so rightly, as a claim has told it.
    has_claimed: bool,
    /// Its claim was made, and the head is not read yet.
    is_reading: bool,
    last_seq: u8,
    is_cut: bool,
    session: u8,
    calls: u8,
    in_flight: Option<Call>,
    answer: Option<Answer>,
}

#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct World {
    // The database.
    is_dead: [bool; 2],
    session: [u8; 2],
    batch: [u8; 2],
    home: Option<usize>,
    stored: Vec<(u8, usize)>,
    storing: [Option<Call>; 2],
    // The wires.
    sent: [Vec<Call>; 2],
    // The hosts.
    hosts: [Host; 2],
    /// The host that answers for each message, and whether its sender was told that it is stored.
    hand: [usize; 3],
    answers: [Option<bool>; 3],
    /// The lost connections, judgements, releases and wrong beliefs so far.
    troubles: usize,
}

impl World {
    fn head(&self) -> u8 {
        self.stored.last().map_or(0, |(seq, _)| *seq)
    }

    fn has(&self, message: usize) -> bool {
        self.stored.iter().any(|(_, stored)| *stored == message)
    }

    fn may_have_trouble(&self) -> bool {
        self.troubles < TROUBLES_MAX
    }

    /// A batch holds the row of the room.
    fn is_locked(&self) -> bool {
        self.storing.iter().any(Option::is_some)
    }

    fn tell(&mut self, host: usize, message: usize, is_stored: bool) {
        // What a host says that was declared dead is not heard.
        if self.hand[message] == host {
            self.answers[message] = Some(is_stored);
        }
    }

    fn send(&mut self, host: usize, call: Call) {
        let session = self.hosts[host].session;
        let call = Call { session, ..call };
        self.hosts[host].in_flight = Some(call);
        self.sent[host].push(call);
    }

    fn answer(&mut self, host: usize, call: Call, answer: Answer) {
        let to = &mut self.hosts[host];
        if !to.is_cut && call.session == to.session {
            to.answer = Some(answer);
        }
    }

    /// What is wrong. None: nothing is.
    fn fault(&self) -> Option<&'static str> {
        if !self.stored.iter().map(|(seq, _)| *seq).eq((1..).take(self.stored.len())) {
            return Some("a number is given twice or left out");
        }
        for message in 0..ORIGINS.len() {
            let count = self.stored.iter().filter(|(_, stored)| *stored == message).count();
            if count > 1 {
                return Some("a message is stored twice");
            }
            if self.answers[message].is_some_and(|answers| answers != (count == 1)) {
                return Some("a sender was told what is not true");
            }
        }
        let is_behind = |(no, host): (usize, &Host)| {
            let is_home = host.has_claimed && !self.is_dead[no] && !host.has_stepped_down;
            is_home && host.in_flight.is_none() && host.last_seq != self.head()
        };
        self.hosts.iter().enumerate().any(is_behind).then_some("a home does not know the last message")
    }

    /// All that can happen next.
    fn next(&self, rules: Rules) -> Vec<Self> {
        let mut next = Vec::new();
        for host in 0..2 {
            let mut add = |change: &dyn Fn(&mut Self)| {
                let mut world = self.clone();
                change(&mut world);
                next.push(world);
            };
            self.in_the_database(rules, host, &mut add);
            if !self.hosts[host].has_stepped_down {
                self.at_the_host(rules, host, &mut add);
            }
        }
        next
    }

    fn in_the_database(&self, rules: Rules, host: usize, add: &mut impl FnMut(&dyn Fn(&mut Self))) {
        if let Some(call) = self.storing[host] {
            add(&|world| {
                world.storing[host] = None;
                world.stored.push((call.seq, call.message));
                world.batch[host] = call.batch;
                world.answer(host, call, Answer::Stored);
            });
        }
        if !self.is_locked() {
            for place in 0..self.sent[host].len() {
                add(&|world| {
                    let call = world.sent[host].remove(place);
                    let is_fenced =
                        (rules.fence && world.is_dead[host]) || (rules.session && call.session != world.session[host]);
                    let is_out_of_turn =
                        (rules.home && world.home != Some(host)) || (rules.seq && call.seq != world.head() + 1);
                    match (is_fenced, is_out_of_turn) {
                        (true, _) => world.answer(host, call, Answer::Fenced),
                        (_, true) => world.answer(host, call, Answer::OutOfTurn),
                        _ => world.storing[host] = Some(call),
                    }
                });
            }
        }
        let is_safe = rules.row_lock && self.storing[host].is_some();
        if self.may_have_trouble() && !self.is_dead[host] && !is_safe {
            add(&|world| {
                world.is_dead[host] = true;
                world.troubles += 1;
            });
        }
    }

    fn at_the_host(&self, rules: Rules, no: usize, add: &mut impl FnMut(&dyn Fn(&mut Self))) {
        let (host, other) = (&self.hosts[no], 1 - no);
        let is_idle = host.in_flight.is_none();
        if !host.has_claimed && !host.is_reading && is_idle && !self.is_locked() {
            add(&|world| {
                let is_free = world.home.is_none_or(|home| world.is_dead[home]);
                if !world.is_dead[no] && (is_free || !rules.free_claim) {
                    world.home = Some(no);
                }
                world.hosts[no].is_reading = true;
            });
        }
        if host.is_reading && is_idle {
            add(&|world| {
                let (is_here, head) = (world.home == Some(no) && !world.is_dead[no], world.head());
                let host = &mut world.hosts[no];
                (host.is_reading, host.has_claimed, host.is_numbering, host.last_seq) = (false, is_here, is_here, head);
            });
        }
        if !host.is_numbering && self.may_have_trouble() {
            add(&|world| {
                world.troubles += 1;
                let head = world.head();
                let host = &mut world.hosts[no];
                (host.is_numbering, host.last_seq) = (true, head);
            });
        }
        let waiting = (0..ORIGINS.len()).find(|message| self.hand[*message] == no && self.answers[*message].is_none());
        if let Some(message) = waiting.filter(|_| host.is_numbering && !host.is_cut && is_idle) {
            add(&|world| {
                let host = &mut world.hosts[no];
                host.calls += 1;
                let call = Call { session: 0, batch: host.calls, seq: host.last_seq + 1, message };
                world.send(no, call);
            });
        }
        if let (Some(answer), Some(call)) = (host.answer, host.in_flight) {
            add(&|world| world.hear(no, call, answer));
        }
        if !host.is_cut && self.may_have_trouble() {
            add(&|world| {
                world.troubles += 1;
                let host = &mut world.hosts[no];
                (host.is_cut, host.answer) = (true, None);
            });
        }
        if host.is_cut && !(rules.row_lock && self.storing[no].is_some()) {
            add(&|world| world.settle(no));
        }
        if host.has_claimed && is_idle && !self.is_locked() && self.may_have_trouble() {
            add(&|world| {
                world.troubles += 1;
                let host = &mut world.hosts[no];
                (host.has_claimed, host.is_numbering) = (false, false);
                world.home = world.home.filter(|home| *home != no);
            });
        }
        // What it had forwarded is looked for, and said again if it is not stored.
        if self.is_dead[other] && (0..ORIGINS.len()).any(|message| self.is_forwarded(message, no)) {
            add(&|world| {
                for message in 0..ORIGINS.len() {
                    if world.is_forwarded(message, no) {
                        world.hand[message] = no;
                        world.answers[message] = world.has(message).then_some(true);
                    }
                }
            });
        }
    }

    fn is_forwarded(&self, message: usize, by: usize) -> bool {
        ORIGINS[message] == by && self.hand[message] != by && self.answers[message].is_none()
    }

    fn hear(&mut self, no: usize, call: Call, answer: Answer) {
        let (head, is_here) = (self.head(), self.home == Some(no) && !self.is_dead[no]);
        let host = &mut self.hosts[no];
        (host.in_flight, host.answer) = (None, None);
        match answer {
            Answer::Stored => {
                host.last_seq = call.seq;
                self.tell(no, call.message, true);
            }
            Answer::Fenced => host.has_stepped_down = true,
            Answer::OutOfTurn => {
                (host.last_seq, host.is_numbering) = (head, is_here);
                host.has_claimed &= is_here;
                self.tell(no, call.message, false);
            }
        }
    }

    /// A new session, which tells what became of the last call of the old one.
    fn settle(&mut self, no: usize) {
        if self.is_dead[no] {
            self.hosts[no].has_stepped_down = true;
            return;
        }
        self.session[no] += 1;
        let host = &mut self.hosts[no];
        (host.is_cut, host.session) = (false, self.session[no]);
        match host.in_flight {
            Some(call) if call.batch == self.batch[no] => self.hear(no, call, Answer::Stored),
            Some(call) => self.send(no, call),
            None => {}
        }
    }
}

/// Walks all interleavings. Returns how many states there are, or the first fault.
fn walk(rules: Rules) -> Result<usize, &'static str> {
    let first = World { hand: BEGIN_AT, ..World::default() };
    let (mut seen, mut open) = (HashSet::from([first.clone()]), vec![first]);
    while let Some(world) = open.pop() {
        if let Some(fault) = world.fault() {
            return Err(fault);
        }
        for next in world.next(rules) {
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn no_interleaving_goes_wrong_by_the_rules() {
    let states = walk(ALL).unwrap();
    assert!(states > 10_000, "{states}");
}

#[test]
fn each_rule_is_needed() {
    for (name, rules) in [
        ("fence", Rules { fence: false, ..ALL }),
        ("session", Rules { session: false, ..ALL }),
        ("home", Rules { home: false, ..ALL }),
        ("seq", Rules { seq: false, ..ALL }),
        ("free_claim", Rules { free_claim: false, ..ALL }),
        ("row_lock", Rules { row_lock: false, ..ALL }),
    ] {
        assert!(walk(rules).is_err(), "nothing goes wrong without {name}");
    }
}
