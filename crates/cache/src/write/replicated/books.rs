//! What a process knows of one lane.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem;

use bytes::Bytes;
use tokio::time::Instant;

use super::lanes::parts;
use crate::redis::{Lane, Look, Tries};
use crate::tier::{Position, TierError};
use crate::write::overlay::Overlay;
use crate::write::sink::Sink;

/// Entries read in one answer, at most.
const PAGE: usize = 1_000;
/// How often a lane is read that others change at the same time, before what is found is enough.
const ROUNDS: usize = 3;

/// A lane, read so far; a lock is around it, so that what it knows is in the order of Redis's answers.
#[derive(Debug)]
pub(super) struct Books<E> {
    pub(super) lane: Lane,
    /// What waits, in the order in which it is applied.
    waiting: BTreeMap<Position, Item<E>>,
    after: Position,
    /// Whether nothing has gone wrong since the lane was read in whole.
    is_known: bool,
    /// What is there no more and was not taken off here: applied, dead, or lost.
    vanished: Vec<(String, u64)>,
    tries: HashMap<u64, Tries>,
    dead: u64,
    now: u64,
    /// When the database was asked last which of all that waits is applied.
    pub(super) checked: Option<Instant>,
}

#[derive(Clone, Debug)]
pub(super) struct Item<E> {
    pub(super) id: u64,
    pub(super) key: String,
    /// An error: this release cannot read it.
    pub(super) entry: Result<E, String>,
    pub(super) body: Bytes,
}

/// An entry that is to be applied.
#[derive(Clone, Debug)]
pub(super) struct Claim<E> {
    pub(super) lane: usize,
    pub(super) at: Position,
    pub(super) item: Item<E>,
}

impl<E: Clone> Books<E> {
    pub(super) fn new(lane: Lane) -> Self {
        Self {
            lane,
            waiting: BTreeMap::new(),
            after: Position::default(),
            is_known: false,
            vanished: Vec::new(),
            tries: HashMap::new(),
            dead: 0,
            now: 0,
            checked: None,
        }
    }

    /// Reads what has come and what has gone since the last time, and lays it over what readers see.
    ///
    /// What was taken off in order is found by the oldest entry that is left, anything else by counting:
    /// then all is read anew.
    pub(super) async fn sync<S: Sink<Entry = E>>(
        &mut self,
        overlay: &Overlay<E>,
    ) -> Result<(), TierError> {
        let mut is_known = mem::replace(&mut self.is_known, false);
        for _ in 0..ROUNDS {
            let mut found: Option<HashSet<Position>> = (!is_known).then(HashSet::new);
            if found.is_some() {
                self.after = Position::default();
            }
            let last = loop {
                let look = self.lane.look(self.after, PAGE).await?;
                if let Some(found) = &mut found {
                    found.extend(look.entries.iter().map(|(at, _)| *at));
                }
                self.take_in::<S>(&look, overlay);
                if look.entries.len() < PAGE {
                    break look;
                }
            };
            self.forget(|at| {
                last.oldest.is_none_or(|oldest| at < oldest)
                    || found.as_ref().is_some_and(|found| !found.contains(&at))
            });
            (self.dead, self.now, self.tries) = (last.dead, last.now, last.tries);
            if self.waiting.len() == last.depth {
                self.is_known = true;
                break;
            }
            is_known = false;
        }
        Ok(())
    }

    fn take_in<S: Sink<Entry = E>>(&mut self, look: &Look, overlay: &Overlay<E>) {
        for (at, entry) in &look.entries {
            self.after = self.after.max(*at);
            if self.waiting.get(at).is_some_and(|item| item.id == entry.id) {
                continue;
            }
            let item = Item::<E>::read::<S>(entry.id, entry.body.clone());
            self.put(*at, item, overlay);
        }
    }

    /// Notes an entry that is at `at`, and shows it.
    pub(super) fn put(&mut self, at: Position, item: Item<E>, overlay: &Overlay<E>) {
        if let Ok(entry) = &item.entry {
            overlay.place(&item.key, item.id, entry, at);
        }
        if let Some(other) = self.waiting.insert(at, item) {
            // Another one has the place: a replica took over that lacked this one.
            if self.waiting[&at].id != other.id {
                self.vanished.push((other.key, other.id));
            }
        }
    }

    fn forget(&mut self, is_gone: impl Fn(Position) -> bool) {
        let gone: Vec<Position> = self.waiting.keys().copied().filter(|at| is_gone(*at)).collect();
        for at in gone {
            let item = self.waiting.remove(&at);
            self.vanished.extend(item.map(|item| (item.key, item.id)));
        }
    }

    /// What has gone and was not taken off here, and of which it is not known what became of it.
    pub(super) fn vanished(&self) -> Vec<(String, u64)> {
        self.vanished.clone()
    }

    /// It is known now what became of `ids`.
    pub(super) fn explained(&mut self, ids: &[u64]) {
        let known: HashSet<&u64> = ids.iter().collect();
        self.vanished.retain(|(_, id)| !known.contains(id));
    }

    /// The oldest entries, at most `most`, that need not wait for another attempt.
    pub(super) fn claim(&self, lane: usize, most: usize) -> Vec<Claim<E>> {
        let mut held: HashSet<&str> = HashSet::new();
        let mut claims = Vec::new();
        for (at, item) in &self.waiting {
            if claims.len() == most {
                break;
            }
            if held.contains(item.key.as_str()) {
                continue;
            }
            if self.tries(item.id).not_before > self.now {
                held.insert(&item.key);
                continue;
            }
            if item.entry.is_err() {
                held.insert(&item.key);
            }
            claims.push(Claim { lane, at: *at, item: item.clone() });
        }
        claims
    }

    /// All entries of `key`, whether or not they have to wait.
    pub(super) fn claim_key(&self, lane: usize, key: &str) -> Vec<Claim<E>> {
        let of_key = self.waiting.iter().filter(|(_, item)| item.key == key);
        of_key.map(|(at, item)| Claim { lane, at: *at, item: item.clone() }).collect()
    }

    /// Takes off what was applied; how many of it waited here.
    pub(super) async fn take_off(&mut self, gone: &[(Position, u64)]) -> Result<usize, TierError> {
        self.lane.take_off(gone).await?;
        Ok(gone.iter().filter(|(at, id)| self.remove(*at, *id)).count())
    }

    /// The entry is no more there; whether it was.
    pub(super) fn remove(&mut self, at: Position, id: u64) -> bool {
        let is_it = self.waiting.get(&at).is_some_and(|item| item.id == id);
        if is_it {
            self.waiting.remove(&at);
        }
        is_it
    }

    pub(super) fn tries(&self, id: u64) -> Tries {
        self.tries.get(&id).copied().unwrap_or_default()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Position, &Item<E>)> {
        self.waiting.iter().map(|(at, item)| (*at, item))
    }

    pub(super) const fn after(&self) -> Position {
        self.after
    }

    pub(super) fn depth(&self) -> usize {
        self.waiting.len()
    }

    pub(super) const fn dead(&self) -> u64 {
        self.dead
    }

    /// Redis's clock when it was asked last, in milliseconds.
    pub(super) const fn now(&self) -> u64 {
        self.now
    }

    /// For how many milliseconds the oldest entry has waited.
    pub(super) fn oldest_ms(&self) -> u64 {
        let first = self.waiting.keys().next();
        first.map_or(0, |at| self.now.saturating_sub(at.millis))
    }
}

impl<E> Item<E> {
    /// The entry with the body `body`.
    pub(super) fn read<S: Sink<Entry = E>>(id: u64, body: Bytes) -> Self {
        let (key, entry) = match parts(&body) {
            Ok((key, kept)) => (key.to_owned(), S::restore(kept)),
            Err(error) => (String::new(), Err(error)),
        };
        Self { id, key, entry, body }
    }
}
