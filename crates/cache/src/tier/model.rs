//! A model of the protocol on one key, every interleaving of which is checked.
//!
//! Two processes load, one writes; commands are sent again, invalidations are late, doubled or
//! lost; leases expire, Redis evicts whatever it wants, and a replica that has fallen behind takes
//! over. What the scripts do is spelled out here once more; that they do it is for the contract's
//! random sequences to show.

use stateright::{Checker, Model, Property};

/// Versions that are written, at most.
const WRITES: u8 = 2;
/// Leases that a process asks for, at most.
const ATTEMPTS: u8 = 2;
const PROCESSES: usize = 2;

/// The protocol, or one with a mistake in it, which the checker must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    AsBuilt,
    /// A renewal grants a lease that was lost.
    RenewalBringsBack,
    /// A fill needs no lease on an absent key.
    FillNeedsNoLease,
    /// A fill needs no lease on a tombstone that is not newer.
    FillNeedsNoLeaseOnTombstone,
    /// A fill does not compare versions.
    FillComparesNothing,
    /// An invalidation leaves the lease to its holder and no tombstone.
    NoTombstone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Value,
    Tombstone,
    Lease,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    kind: Kind,
    version: u8,
    lease: Option<Lease>,
}

/// A lease; one that expired or was ended by an invalidation is not held, but its holder is
/// known until another one is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Lease {
    token: Token,
    held: bool,
}

impl Entry {
    fn is_leased_to(&self, token: Token) -> bool {
        self.lease.is_some_and(|lease| lease.token == token)
    }

    fn end_lease(&mut self) {
        if let Some(lease) = &mut self.lease {
            lease.held = false;
        }
    }
}

/// Whose lease it is: the process, and which of its attempts.
type Token = (u8, u8);

/// One node: what it holds of the key, and the newest version that it has ever acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
struct Node {
    entry: Option<Entry>,
    known: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Process {
    Idle,
    /// It has the lease, and has not read yet.
    Leased,
    /// It has read this version.
    Loaded(u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// The version in Postgres.
    committed: u8,
    /// Invalidations on their way, by version.
    pending: [bool; WRITES as usize + 1],
    primary: Node,
    replica: Node,
    processes: [Process; PROCESSES],
    attempts: [u8; PROCESSES],
    loads: u8,
    /// What entitles to another load: a change, a lease or entry that went, a failover.
    disturbances: u8,
    /// Whether any fill was refused.
    refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Write,
    /// It arrives; the flag says that it stays on its way, to arrive once more.
    Invalidate(u8, bool),
    LoseInvalidation(u8),
    Acquire(usize),
    Read(usize),
    Renew(usize),
    /// The flag says that it is sent once more.
    Fill(usize, bool),
    Release(usize),
    LeaseExpires,
    Evict,
    Replicate,
    Failover,
}

struct Protocol {
    variant: Variant,
    disturbances: u8,
}

impl Protocol {
    fn acquire(entry: &mut Option<Entry>, token: Token) -> bool {
        let granted = Some(Lease { token, held: true });
        match entry {
            None => {
                *entry = Some(Entry { kind: Kind::Lease, version: 0, lease: granted });
                true
            }
            Some(Entry { kind: Kind::Value, .. }) => false,
            Some(held) => {
                let free = held.lease.is_none_or(|lease| !lease.held || lease.token == token);
                if free {
                    held.lease = granted;
                }
                free
            }
        }
    }

    /// Whether it is stored, or was by the same call before.
    fn fill(&self, entry: &mut Option<Entry>, token: Token, version: u8) -> bool {
        let value = Entry { kind: Kind::Value, version, lease: None };
        let Some(held) = *entry else {
            if self.variant == Variant::FillNeedsNoLease {
                *entry = Some(value);
            }
            return entry.is_some();
        };
        if held.version > version && self.variant != Variant::FillComparesNothing {
            return false;
        }
        let open = self.variant == Variant::FillNeedsNoLeaseOnTombstone;
        let may = held.is_leased_to(token) || (open && held.kind == Kind::Tombstone);
        if may {
            *entry = Some(value);
        }
        may || (held.kind == Kind::Value && held.version == version)
    }

    fn invalidate(&self, entry: &mut Option<Entry>, version: u8) {
        if let Some(held) = entry {
            let as_new = held.version == version && held.kind != Kind::Lease;
            if held.version > version || as_new {
                return;
            }
        }
        let mut tombstone =
            Entry { kind: Kind::Tombstone, version, lease: entry.and_then(|held| held.lease) };
        tombstone.end_lease();
        *entry = match self.variant {
            Variant::NoTombstone => entry.filter(|held| held.lease.is_some()),
            _ => Some(tombstone),
        };
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            committed: 0,
            pending: [false; WRITES as usize + 1],
            primary: Node::default(),
            replica: Node::default(),
            processes: [Process::Idle; PROCESSES],
            attempts: [0; PROCESSES],
            loads: 0,
            disturbances: 0,
            refused: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.committed < WRITES {
            actions.push(Action::Write);
        }
        for (version, _) in (0..).zip(state.pending).filter(|(_, pending)| *pending) {
            actions.push(Action::Invalidate(version, false));
            actions.push(Action::Invalidate(version, true));
            actions.push(Action::LoseInvalidation(version));
        }
        for who in 0..PROCESSES {
            match state.processes[who] {
                Process::Idle if state.attempts[who] < ATTEMPTS => {
                    actions.push(Action::Acquire(who));
                }
                Process::Idle => {}
                Process::Leased => {
                    actions.extend([Action::Read(who), Action::Renew(who), Action::Release(who)]);
                }
                Process::Loaded(_) => {
                    actions.extend([Action::Fill(who, false), Action::Fill(who, true)]);
                    actions.extend([Action::Renew(who), Action::Release(who)]);
                }
            }
        }
        actions.push(Action::Replicate);
        if state.disturbances < self.disturbances {
            actions.extend([Action::LeaseExpires, Action::Evict, Action::Failover]);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let token = |who: usize| (who as u8, last.attempts[who]);
        match action {
            Action::Write => {
                state.committed += 1;
                state.pending[usize::from(state.committed)] = true;
            }
            Action::Invalidate(version, again) => {
                self.invalidate(&mut state.primary.entry, version);
                state.primary.known = state.primary.known.max(version);
                state.pending[usize::from(version)] = again;
                state.disturbances += 1;
            }
            Action::LoseInvalidation(version) => state.pending[usize::from(version)] = false,
            Action::Acquire(who) => {
                if Self::acquire(&mut state.primary.entry, token(who)) {
                    state.processes[who] = Process::Leased;
                }
            }
            Action::Read(who) => {
                state.processes[who] = Process::Loaded(state.committed);
                state.loads += 1;
            }
            Action::Renew(who) => {
                // It changes nothing but times, which the model does not have.
                if self.variant == Variant::RenewalBringsBack {
                    Self::acquire(&mut state.primary.entry, token(who));
                }
            }
            Action::Fill(who, again) => {
                let Process::Loaded(version) = last.processes[who] else { return None };
                if self.fill(&mut state.primary.entry, token(who), version) {
                    state.primary.known = state.primary.known.max(version);
                } else {
                    state.refused = true;
                }
                if !again {
                    state.processes[who] = Process::Idle;
                    state.attempts[who] += 1;
                }
            }
            Action::Release(who) => {
                if let Some(held) = &mut state.primary.entry
                    && held.is_leased_to(token(who))
                {
                    held.lease = None;
                    if held.kind == Kind::Lease {
                        state.primary.entry = None;
                    }
                }
                state.processes[who] = Process::Idle;
                state.attempts[who] += 1;
                state.disturbances += 1;
            }
            Action::LeaseExpires => {
                let held = state.primary.entry.as_mut()?;
                held.lease.filter(|lease| lease.held)?;
                held.end_lease();
                if held.kind == Kind::Lease {
                    state.primary.entry = None;
                }
                state.disturbances += 1;
            }
            Action::Evict => {
                state.primary.entry.take()?;
                state.disturbances += 1;
            }
            Action::Replicate => state.replica = state.primary,
            Action::Failover => {
                state.primary = state.replica;
                state.disturbances += 1;
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "no older version than one that was acknowledged",
                |_, state: &State| {
                    let Node { entry, known } = state.primary;
                    !entry.is_some_and(|held| held.kind == Kind::Value && held.version < known)
                },
            ),
            Property::always("one load, and one more per disturbance", |_, state: &State| {
                state.loads <= 1 + state.disturbances
            }),
            Property::sometimes("the newest version is filled", |_, state: &State| {
                let filled = state.primary.entry;
                filled.is_some_and(|held| held.kind == Kind::Value && held.version == WRITES)
            }),
            Property::sometimes("a fill is refused", |_, state: &State| state.refused),
        ]
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.disturbances <= self.disturbances
    }
}

fn check(variant: Variant, disturbances: u8) -> impl Checker<Protocol> {
    Protocol { variant, disturbances }.checker().threads(2).spawn_bfs().join()
}

#[test]
fn no_interleaving_breaks_the_protocol() {
    let checker = check(Variant::AsBuilt, 5);
    checker.assert_properties();
    assert!(checker.unique_state_count() > 10_000, "{}", checker.unique_state_count());
}

#[test]
fn the_checker_finds_what_would_be_wrong() {
    for variant in [
        Variant::RenewalBringsBack,
        Variant::FillNeedsNoLease,
        Variant::FillNeedsNoLeaseOnTombstone,
        Variant::FillComparesNothing,
        Variant::NoTombstone,
    ] {
        let found = check(variant, 4).discovery("no older version than one that was acknowledged");
        assert!(found.is_some(), "{variant:?}");
    }
}
