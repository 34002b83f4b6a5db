//! The books of a journal that is kept in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokio::time::Instant;

use super::journal::{DeadLetter, FlushOptions, JournalState, Write, WriteState};

/// What waits, in the order of positions; what is dead; and which keys are being flushed.
#[derive(Debug)]
pub(crate) struct Queue<O> {
    /// Positions up to here were given by others, or never.
    before: u64,
    last: u64,
    waiting: BTreeMap<u64, Entry<O>>,
    dead: BTreeMap<u64, Entry<O>>,
    taken: HashSet<String>,
}

#[derive(Debug)]
struct Entry<O> {
    write: Write<O>,
    since: Instant,
    attempts: u32,
    not_before: Option<Instant>,
    error: String,
}

/// The entries of one key that are to be applied, in their order.
#[derive(Debug)]
pub(crate) struct Group<O> {
    pub(crate) key: String,
    pub(crate) entries: Vec<(u64, O)>,
}

/// Somebody is flushing the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// What became of an entry that could not be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It will be tried again.
    Again,
    /// It is a dead letter.
    Dead,
}

impl<O> Default for Queue<O> {
    fn default() -> Self {
        Self::after(0)
    }
}

impl<O> Queue<O> {
    /// One whose first position comes after `before`.
    pub(crate) fn after(before: u64) -> Self {
        let (waiting, dead) = (BTreeMap::new(), BTreeMap::new());
        Self { before, last: before, waiting, dead, taken: HashSet::new() }
    }
}

impl<O: Clone> Queue<O> {
    pub(crate) fn push(&mut self, write: Write<O>) -> u64 {
        self.last += 1;
        let since = Instant::now();
        let entry = Entry { write, since, attempts: 0, not_before: None, error: String::new() };
        self.waiting.insert(self.last, entry);
        self.last
    }

    /// What waits for `key`, in its order.
    pub(crate) fn pending(&self, key: &str) -> Vec<O> {
        let of_key = self.waiting.values().filter(|entry| entry.write.key == key);
        of_key.map(|entry| entry.write.operation.clone()).collect()
    }

    /// The oldest entries, at most `most`, by key and in their order: of keys that nobody is
    /// flushing. An entry that has to wait for another attempt keeps back those of its key.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Group<O>> {
        let now = Instant::now();
        let mut groups: Vec<Group<O>> = Vec::new();
        let mut seen: HashMap<&str, Option<usize>> = HashMap::new();
        let mut left = most;
        for (position, entry) in &self.waiting {
            if left == 0 {
                break;
            }
            let key = entry.write.key.as_str();
            let group = *seen.entry(key).or_insert_with(|| {
                let is_free = entry.not_before.is_none_or(|at| at <= now);
                (is_free && !self.taken.contains(key)).then(|| {
                    groups.push(Group { key: key.to_owned(), entries: Vec::new() });
                    groups.len() - 1
                })
            });
            if let Some(group) = group {
                groups[group].entries.push((*position, entry.write.operation.clone()));
                left -= 1;
            }
        }
        self.taken.extend(groups.iter().map(|group| group.key.clone()));
        groups
    }

    /// All entries of `key`, to be flushed whether or not they are to be tried again yet; `Err`:
    /// somebody is flushing it.
    pub(crate) fn take_key(&mut self, key: &str) -> Result<Option<Group<O>>, Busy> {
        if self.taken.contains(key) {
            return Err(Busy);
        }
        let of_key = self.waiting.iter().filter(|(_, entry)| entry.write.key == key);
        let entries: Vec<_> =
            of_key.map(|(at, entry)| (*at, entry.write.operation.clone())).collect();
        if entries.is_empty() {
            return Ok(None);
        }
        self.taken.insert(key.to_owned());
        Ok(Some(Group { key: key.to_owned(), entries }))
    }

    /// The key is not being flushed any more.
    pub(crate) fn untake(&mut self, key: &str) {
        self.taken.remove(key);
    }

    /// The entry at `position` was applied.
    pub(crate) fn applied(&mut self, position: u64) {
        self.waiting.remove(&position);
    }

    /// The entry at `position` could not be applied, because of `error`.
    pub(crate) fn failed(
        &mut self,
        position: u64,
        error: &str,
        options: &FlushOptions,
    ) -> Option<Failure> {
        let entry = self.waiting.get_mut(&position)?;
        entry.attempts += 1;
        error.clone_into(&mut entry.error);
        if entry.attempts < options.attempts {
            let doubled = 2_u32.saturating_pow(entry.attempts - 1);
            entry.not_before = Some(Instant::now() + options.backoff.saturating_mul(doubled));
            return Some(Failure::Again);
        }
        let entry = self.waiting.remove(&position)?;
        self.dead.insert(position, entry);
        Some(Failure::Dead)
    }

    pub(crate) fn state(&self) -> JournalState {
        let oldest = self.waiting.values().map(|entry| entry.since.elapsed()).max();
        JournalState {
            depth: self.waiting.len() as u64,
            oldest: oldest.unwrap_or_default(),
            dead: self.dead.len() as u64,
        }
    }

    pub(crate) fn find(&self, position: u64) -> Option<WriteState> {
        if self.waiting.contains_key(&position) {
            Some(WriteState::Pending)
        } else if self.dead.contains_key(&position) {
            Some(WriteState::Dead)
        } else {
            (self.before + 1..=self.last).contains(&position).then_some(WriteState::Flushed)
        }
    }

    /// Takes a dead letter out.
    pub(crate) fn take_dead(&mut self, position: u64) -> Option<Write<O>> {
        self.dead.remove(&position).map(|entry| entry.write)
    }

    pub(crate) fn dead_letters(
        &self,
        most: usize,
        spell: impl Fn(&O) -> String,
    ) -> Vec<DeadLetter> {
        let oldest = self.dead.iter().take(most);
        oldest.map(|(position, entry)| entry.letter(*position, &spell)).collect()
    }

    pub(crate) fn dead_letter(
        &self,
        position: u64,
        spell: impl Fn(&O) -> String,
    ) -> Option<DeadLetter> {
        self.dead.get(&position).map(|entry| entry.letter(position, spell))
    }
}

impl<O> Entry<O> {
    fn letter(&self, position: u64, spell: impl Fn(&O) -> String) -> DeadLetter {
        DeadLetter {
            position,
            key: self.write.key.clone(),
            operation: spell(&self.write.operation),
            error: self.error.clone(),
            attempts: self.attempts,
            age: self.since.elapsed(),
        }
    }
}
