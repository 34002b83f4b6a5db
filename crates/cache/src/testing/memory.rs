//! The in-memory twin of a durable journal.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::version::Version;
use crate::write::queue::{Failure, Group, Queue};
use crate::write::{
    DeadLetter, FlushOptions, Flushed, Journal, JournalError, JournalState, Journaled, Write,
    WriteState,
};

/// What a twin's entries are applied to.
pub trait Target: Send + Sync + 'static {
    /// What can be done to a key.
    type Operation: Clone + Debug + Send + Sync + 'static;
    /// Why a write is refused at once.
    type Refusal: Send + 'static;

    /// Refuses `operation` where it would break a rule, once what is `pending` was applied.
    ///
    /// # Errors
    ///
    /// The rule.
    fn check(
        &self,
        key: &str,
        pending: &[Self::Operation],
        operation: &Self::Operation,
    ) -> Result<(), Self::Refusal>;

    /// Gives every cached key that contains `key` its next version.
    fn bump(&self, key: &str) -> Vec<(String, String, Version)>;

    /// Applies `operations` in their order, all of them or none.
    ///
    /// # Errors
    ///
    /// Why that is not possible.
    fn apply(&self, key: &str, operations: &[Self::Operation]) -> Result<(), String>;
}

/// A journal in memory that does what a durable one does, as long as the process lives.
#[derive(Debug)]
pub struct MemoryJournal<T: Target> {
    queue: Mutex<Queue<T::Operation>>,
    target: T,
}

impl<T: Target> MemoryJournal<T> {
    /// An empty one over `target`.
    pub fn new(target: T) -> Self {
        Self { queue: Mutex::default(), target }
    }

    /// What its entries are applied to.
    pub const fn target(&self) -> &T {
        &self.target
    }

    /// The writes of `key` that wait to be applied, in their order.
    #[must_use]
    pub fn pending(&self, key: &str) -> Vec<T::Operation> {
        self.queue().pending(key)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T::Operation>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a key's entries: together if that is possible, else one by one up to the one that
    /// fails.
    fn flush_group(
        &self,
        queue: &mut Queue<T::Operation>,
        group: &Group<T::Operation>,
        options: &FlushOptions,
        flushed: &mut Flushed,
    ) {
        let all: Vec<_> = group.entries.iter().map(|(_, operation)| operation.clone()).collect();
        if self.target.apply(&group.key, &all).is_ok() {
            for (position, _) in &group.entries {
                queue.applied(*position);
            }
            flushed.entries += group.entries.len() as u64;
            flushed.applied += 1;
            return;
        }
        for (position, operation) in &group.entries {
            match self.target.apply(&group.key, std::slice::from_ref(operation)) {
                Ok(()) => {
                    queue.applied(*position);
                    flushed.entries += 1;
                    flushed.applied += 1;
                }
                Err(error) => {
                    match queue.failed(*position, &error, options) {
                        Some(Failure::Again) => flushed.failed += 1,
                        Some(Failure::Dead) => {
                            flushed.dead += 1;
                            // Readers saw it: what they see now is newer.
                            flushed.changes.extend(self.target.bump(&group.key));
                        }
                        None => {}
                    }
                    break;
                }
            }
        }
    }
}

impl<T: Target> Journal for MemoryJournal<T> {
    type Operation = T::Operation;
    type Refusal = T::Refusal;

    async fn append(
        &self,
        writes: &[Write<T::Operation>],
    ) -> Result<Vec<Result<Journaled, T::Refusal>>, JournalError> {
        let mut queue = self.queue();
        let taken = writes.iter().map(|write| {
            self.target.check(&write.key, &queue.pending(&write.key), &write.operation)?;
            let changes = self.target.bump(&write.key);
            Ok(Journaled { position: queue.push(write.clone()), changes })
        });
        Ok(taken.collect())
    }

    async fn flush(&self, options: &FlushOptions) -> Result<Flushed, JournalError> {
        let mut queue = self.queue();
        let mut flushed = Flushed::default();
        for group in queue.take(options.entries) {
            self.flush_group(&mut queue, &group, options, &mut flushed);
            queue.untake(&group.key);
        }
        Ok(flushed)
    }

    async fn state(&self) -> Result<JournalState, JournalError> {
        Ok(self.queue().state())
    }

    async fn find(&self, position: u64) -> Result<Option<WriteState>, JournalError> {
        Ok(self.queue().find(position))
    }

    async fn dead_letters(&self, most: usize) -> Result<Vec<DeadLetter>, JournalError> {
        Ok(self.queue().dead_letters(most, |operation| format!("{operation:?}")))
    }

    async fn dead_letter(&self, position: u64) -> Result<Option<DeadLetter>, JournalError> {
        Ok(self.queue().dead_letter(position, |operation| format!("{operation:?}")))
    }

    async fn replay(&self, position: u64) -> Result<Option<Journaled>, JournalError> {
        let mut queue = self.queue();
        Ok(queue.take_dead(position).map(|write| {
            let changes = self.target.bump(&write.key);
            Journaled { position: queue.push(write), changes }
        }))
    }

    async fn discard(&self, position: u64) -> Result<bool, JournalError> {
        Ok(self.queue().take_dead(position).is_some())
    }
}

/// A shelf of numbers that never go below zero: the simplest target.
#[derive(Debug, Default)]
pub struct Shelf {
    things: Mutex<Things>,
}

#[derive(Debug, Default)]
struct Things {
    numbers: BTreeMap<String, i64>,
    versions: BTreeMap<String, u64>,
    healed: bool,
}

/// What can be done to a number of a [`Shelf`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum ShelfOperation {
    /// It becomes this.
    Put(i64),
    /// It grows by this.
    Add(i64),
    /// It grows by this, but only when the shelf was healed.
    Poison(i64),
}

/// The number would be below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it would be below zero")]
pub struct Refused;

impl ShelfOperation {
    /// What becomes of `number`.
    #[must_use]
    pub const fn on(&self, number: i64) -> i64 {
        match self {
            Self::Put(to) => *to,
            Self::Add(by) | Self::Poison(by) => number + *by,
        }
    }
}

impl Shelf {
    fn things(&self) -> MutexGuard<'_, Things> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of `key`, with `pending` laid over it, and its version.
    #[must_use]
    pub fn seen(&self, key: &str, pending: &[ShelfOperation]) -> (i64, Version) {
        let things = self.things();
        let stored = things.numbers.get(key).copied().unwrap_or_default();
        let number = pending.iter().fold(stored, |number, operation| operation.on(number));
        let counter = things.versions.get(key).copied().unwrap_or_default();
        (number, Version::new(1, counter))
    }

    /// What is poison can be applied from now on.
    pub fn heal(&self) {
        self.things().healed = true;
    }
}

impl Target for Shelf {
    type Operation = ShelfOperation;
    type Refusal = Refused;

    fn check(
        &self,
        key: &str,
        pending: &[ShelfOperation],
        operation: &ShelfOperation,
    ) -> Result<(), Refused> {
        let (number, _) = self.seen(key, pending);
        if operation.on(number) < 0 { Err(Refused) } else { Ok(()) }
    }

    fn bump(&self, key: &str) -> Vec<(String, String, Version)> {
        let mut things = self.things();
        let counter = things.versions.entry(key.to_owned()).or_default();
        *counter += 1;
        vec![("things".to_owned(), key.to_owned(), Version::new(1, *counter))]
    }

    fn apply(&self, key: &str, operations: &[ShelfOperation]) -> Result<(), String> {
        let mut things = self.things();
        if !things.healed && operations.iter().any(|done| matches!(done, ShelfOperation::Poison(_)))
        {
            return Err("poison".to_owned());
        }
        let number = things.numbers.entry(key.to_owned()).or_default();
        *number = operations.iter().fold(*number, |number, operation| operation.on(number));
        Ok(())
    }
}
