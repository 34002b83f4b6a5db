//! A journal that promises nothing: it is the memory of one process.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;

use super::journal::{
    DeadLetter, FlushOptions, Flushed, Journal, JournalError, JournalState, Journaled, Write,
    WriteState,
};
use super::options::Mode;
use super::queue::{Failure, Group, Queue};
use crate::version::Version;

/// What the application of a key's writes made: cached keys and their versions, or why it was not
/// possible, and then nothing was changed.
pub type Applied = Result<Vec<(String, String, Version)>, String>;

/// Applies the writes of one key in their order, all of them or none.
type Apply<O> = Box<dyn Fn(String, Vec<O>) -> BoxFuture<'static, Applied> + Send + Sync>;

/// A journal in memory. **An acknowledged write is lost when the process ends before its flush**,
/// and no other process sees it until then.
///
/// It knows no version before the flush, so that it never names one: what a write changes is told
/// when it was applied. Who reads sees pending writes by laying [`pending`](Self::pending) over
/// what he has read.
pub struct VolatileJournal<O> {
    queue: Mutex<Queue<O>>,
    apply: Apply<O>,
}

impl<O> Debug for VolatileJournal<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VolatileJournal").finish_non_exhaustive()
    }
}

impl<O: Clone + Debug + Send + Sync + 'static> VolatileJournal<O> {
    /// A journal whose writes `apply` applies: those of one key, in their order, all or none.
    pub fn new<F>(apply: impl Fn(String, Vec<O>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Applied> + Send + 'static,
    {
        let apply: Apply<O> = Box::new(move |key, operations| Box::pin(apply(key, operations)));
        Self { queue: Mutex::default(), apply }
    }

    /// The writes of `key` that wait to be applied, in their order.
    #[must_use]
    pub fn pending(&self, key: &str) -> Vec<O> {
        self.queue().pending(key)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<O>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies one key's writes: together if that is possible, else one by one up to the one
    /// that fails.
    async fn flush_group(&self, group: Group<O>, options: &FlushOptions, flushed: &mut Flushed) {
        let _taken = Taken { journal: self, key: &group.key };
        let together = group.entries.iter().map(|(_, operation)| operation.clone()).collect();
        let mut steps = vec![group.entries.clone()];
        let mut first = Some((self.apply)(group.key.clone(), together).await);
        if group.entries.len() > 1 && matches!(first, Some(Err(_))) {
            steps = group.entries.iter().map(|entry| vec![entry.clone()]).collect();
            first = None;
        }
        for step in steps {
            let outcome = match first.take() {
                Some(outcome) => outcome,
                None => {
                    let operations = step.iter().map(|(_, operation)| operation.clone()).collect();
                    (self.apply)(group.key.clone(), operations).await
                }
            };
            let mut queue = self.queue();
            match outcome {
                Ok(changes) => {
                    for (position, _) in &step {
                        queue.applied(*position);
                    }
                    flushed.entries += step.len() as u64;
                    flushed.applied += 1;
                    flushed.changes.extend(changes);
                }
                Err(error) => {
                    // Alone by now: what comes after it in its key waits for it.
                    for (position, _) in &step {
                        match queue.failed(*position, &error, options) {
                            Some(Failure::Again) => flushed.failed += 1,
                            Some(Failure::Dead) => flushed.dead += 1,
                            None => {}
                        }
                    }
                    return;
                }
            }
        }
    }
}

/// A key that is being flushed; also when the flush is cancelled, it is so no longer.
struct Taken<'a, O: Clone + Debug + Send + Sync + 'static> {
    journal: &'a VolatileJournal<O>,
    key: &'a str,
}

impl<O: Clone + Debug + Send + Sync + 'static> Drop for Taken<'_, O> {
    fn drop(&mut self) {
        self.journal.queue().untake(self.key);
    }
}

impl<O: Clone + Debug + Send + Sync + 'static> Journal for VolatileJournal<O> {
    type Operation = O;
    type Refusal = Infallible;

    const MODE: Mode = Mode::Volatile;

    async fn append(
        &self,
        writes: &[Write<O>],
    ) -> Result<Vec<Result<Journaled, Infallible>>, JournalError> {
        let mut queue = self.queue();
        let taken = writes.iter().map(|write| {
            let position = queue.push(write.clone());
            Ok(Journaled { position, changes: Vec::new() })
        });
        Ok(taken.collect())
    }

    async fn flush(&self, options: &FlushOptions) -> Result<Flushed, JournalError> {
        let mut flushed = Flushed::default();
        let mut left = options.entries;
        // One key at a time is taken, so that a flush that is cancelled keeps no other back.
        let mut seen = HashSet::new();
        while left > 0 {
            let Some(group) = self.queue().take(left, &seen) else { break };
            left -= group.entries.len();
            seen.insert(group.key.clone());
            self.flush_group(group, options, &mut flushed).await;
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

    async fn replay(&self, position: u64) -> Result<Option<Journaled>, JournalError> {
        let mut queue = self.queue();
        let again = queue.take_dead(position).map(|write| queue.push(write));
        Ok(again.map(|position| Journaled { position, changes: Vec::new() }))
    }

    async fn discard(&self, position: u64) -> Result<bool, JournalError> {
        Ok(self.queue().take_dead(position).is_some())
    }
}
