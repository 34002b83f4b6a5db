//! A journal that promises nothing: it is the memory of one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::journal::{
    DeadLetter, FlushOptions, Flushed, Journal, JournalError, JournalState, Journaled, Write,
    WriteState,
};
use super::options::Mode;
use super::overlay::Overlay;
use super::queue::{Busy, Failure, Group, Queue};
use super::sink::{Base, Deferred, Settled, Sink};

/// How long a settlement waits before it looks again whether a key is free.
const PAUSE: Duration = Duration::from_millis(2);
/// How long it does so.
const PATIENCE: Duration = Duration::from_secs(2);

/// A journal in memory. **An acknowledged write is lost when the process ends before its flush**,
/// and no other process sees it until then.
///
/// * It knows no version before the flush, and so names none. Who reads sees what waits by laying
///   [`overlay`](Self::overlay) over what he has read.
/// * A write is refused at once where it would break a rule, by what the database says at that
///   moment and what waits in this process. Another process, or direct SQL, may change that before
///   the flush; then the write becomes a dead letter.
/// * A write is applied once, also when the answer of a flush is lost.
/// * Positions begin at random: after a restart, those from before are not known.
pub struct VolatileJournal<S: Sink> {
    queue: Mutex<Queue<S::Entry>>,
    overlay: Arc<Overlay<S::Entry>>,
    sink: Arc<S>,
    /// One append at a time: each counts on what those before it were granted.
    turn: tokio::sync::Mutex<()>,
}

impl<S: Sink> std::fmt::Debug for VolatileJournal<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VolatileJournal").field("overlay", &self.overlay).finish_non_exhaustive()
    }
}

impl<S: Sink> VolatileJournal<S> {
    /// A journal whose writes go to `sink`.
    pub fn new(sink: S) -> Self {
        let sink = Arc::new(sink);
        let overlay = Arc::new(Overlay::new(&sink));
        // Ids in the database's records are positions: those of two processes must not meet. And
        // they must fit into a number of JSON (2^53).
        let before = rand::random::<u64>() >> 12;
        let queue = Mutex::new(Queue::after(before));
        Self { queue, overlay, sink, turn: tokio::sync::Mutex::default() }
    }

    /// What waits, to be laid over what is read.
    #[must_use]
    pub const fn overlay(&self) -> &Arc<Overlay<S::Entry>> {
        &self.overlay
    }

    /// Where writes go.
    #[must_use]
    pub fn sink(&self) -> &S {
        &self.sink
    }

    fn queue(&self) -> MutexGuard<'_, Queue<S::Entry>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies what was taken, and writes down what became of it.
    async fn settle_groups(
        &self,
        groups: Vec<Group<S::Entry>>,
        options: &FlushOptions,
    ) -> Result<Flushed, JournalError> {
        let mut taken = Taken { journal: self, keys: Vec::with_capacity(groups.len()) };
        let mut writes = Vec::new();
        for group in groups {
            for (id, entry) in group.entries {
                self.overlay.unsure(&group.key, id);
                writes.push(Deferred { id, key: group.key.clone(), entry });
            }
            taken.keys.push(group.key);
        }
        let settled = self.sink.settle(&writes).await?;
        let flushed = self.note(&writes, settled, options);
        // Nobody may look at an empty journal.
        self.overlay.sweep_later();
        Ok(flushed)
    }

    fn note(
        &self,
        writes: &[Deferred<S::Entry>],
        settled: Settled,
        options: &FlushOptions,
    ) -> Flushed {
        let Settled { applied, repeated, refused, changes, made } = settled;
        let key_of: HashMap<u64, &str> =
            writes.iter().map(|write| (write.id, write.key.as_str())).collect();
        let key = |id: &u64| key_of.get(id).copied().unwrap_or_default();
        let entries = (applied.len() + repeated.len()) as u64;
        let mut flushed = Flushed { entries, applied: changes, ..Flushed::default() };
        let made = Arc::new(made);
        let mut queue = self.queue();
        for id in &applied {
            self.overlay.applied(key(id), *id, Some(&made));
            queue.applied(*id);
        }
        for id in &repeated {
            self.overlay.applied(key(id), *id, None);
            queue.applied(*id);
        }
        for (id, error) in refused {
            match queue.failed(id, &error, options) {
                Some(Failure::Again) => flushed.failed += 1,
                Some(Failure::Dead) => {
                    self.overlay.remove(key(&id), id);
                    flushed.dead += 1;
                }
                None => {}
            }
        }
        let named = made
            .iter()
            .map(|((namespace, key), version)| (namespace.clone(), key.clone(), *version));
        flushed.changes = named.collect();
        flushed
    }

    /// What is there of each key in `writes`, and waits.
    async fn states(
        &self,
        writes: &[Write<S::Operation>],
    ) -> Result<HashMap<String, S::State>, JournalError> {
        let mut keys: Vec<String> = writes.iter().map(|write| write.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let bases = self.sink.bases(&keys).await?;
        if bases.len() != keys.len() {
            return Err(JournalError("the sink answered other keys than it was asked for".into()));
        }
        let mut states = HashMap::with_capacity(keys.len());
        for (name, base) in keys.into_iter().zip(bases) {
            let Base { mut value, namespace, key, version } = base;
            S::lay(&mut value, &self.overlay.over(&name, &namespace, &key, version).await);
            states.insert(name, value);
        }
        Ok(states)
    }
}

/// Keys that are being flushed; also when the flush is cancelled, they are so no longer.
struct Taken<'a, S: Sink> {
    journal: &'a VolatileJournal<S>,
    keys: Vec<String>,
}

impl<S: Sink> Drop for Taken<'_, S> {
    fn drop(&mut self) {
        let mut queue = self.journal.queue();
        for key in &self.keys {
            queue.untake(key);
        }
    }
}

impl<S: Sink> Journal for VolatileJournal<S> {
    type Operation = S::Operation;
    type Refusal = S::Refusal;

    const MODE: Mode = Mode::Volatile;

    async fn append(
        &self,
        writes: &[Write<S::Operation>],
    ) -> Result<Vec<Result<Journaled, S::Refusal>>, JournalError> {
        let _turn = self.turn.lock().await;
        let mut states = self.states(writes).await?;
        let mut queue = self.queue();
        let taken = writes.iter().map(|write| {
            let state = states.get_mut(&write.key).expect("every key was read");
            let entry = S::accept(state, &write.operation)?;
            let position = queue.push(Write { key: write.key.clone(), operation: entry.clone() });
            self.overlay.add(&write.key, position, entry);
            Ok(Journaled { position, changes: Vec::new() })
        });
        Ok(taken.collect())
    }

    async fn flush(&self, options: &FlushOptions) -> Result<Flushed, JournalError> {
        let groups = self.queue().take(options.entries);
        if groups.is_empty() {
            return Ok(Flushed::default());
        }
        self.settle_groups(groups, options).await
    }

    async fn settle(&self, key: &str) -> Result<Flushed, JournalError> {
        // Nobody waits for a second attempt: what cannot be applied becomes a dead letter.
        let once = FlushOptions { entries: usize::MAX, attempts: 1, backoff: Duration::ZERO };
        let until = Instant::now() + PATIENCE;
        let mut total = Flushed::default();
        loop {
            let group = self.queue().take_key(key);
            match group {
                Ok(None) => return Ok(total),
                Ok(Some(group)) => {
                    total.add(self.settle_groups(vec![group], &once).await?);
                }
                Err(Busy) => {}
            }
            if Instant::now() >= until {
                return Err(JournalError("somebody else works on what is pending".into()));
            }
            sleep(PAUSE).await;
        }
    }

    async fn state(&self) -> Result<JournalState, JournalError> {
        Ok(self.queue().state())
    }

    async fn find(&self, position: u64) -> Result<Option<WriteState>, JournalError> {
        Ok(self.queue().find(position))
    }

    async fn dead_letters(&self, most: usize) -> Result<Vec<DeadLetter>, JournalError> {
        Ok(self.queue().dead_letters(most, S::spell))
    }

    async fn dead_letter(&self, position: u64) -> Result<Option<DeadLetter>, JournalError> {
        Ok(self.queue().dead_letter(position, S::spell))
    }

    async fn replay(&self, position: u64) -> Result<Option<Journaled>, JournalError> {
        let mut queue = self.queue();
        Ok(queue.take_dead(position).map(|write| {
            let position = queue.push(write.clone());
            self.overlay.add(&write.key, position, write.operation);
            Journaled { position, changes: Vec::new() }
        }))
    }

    async fn discard(&self, position: u64) -> Result<bool, JournalError> {
        Ok(self.queue().take_dead(position).is_some())
    }
}
