//! A journal in Redis's memory, on every replica.

mod books;
mod flush;
mod lanes;
mod shared;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, atomic::AtomicU64};
use std::time::Duration;

use futures_util::future::join_all;
use thiserror::Error;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::AbortHandle;

use self::books::{Books, Item};
use self::lanes::{Letter, TAGS, body, first_sequence, lane_at, lane_of, position, stream};
use self::shared::{Batch, Shared, failed};
use super::journal::{
    DeadLetter, FlushOptions, Flushed, Journal, JournalError, JournalState, Journaled, Write,
    WriteState,
};
use super::options::Mode;
use super::overlay::Overlay;
use super::sink::Sink;
use crate::redis::{Lane, LaneEntry, RedisOptions};
use crate::tier::TierError;

/// How often a check is repeated because another process's writes of its keys came to be known
/// meanwhile.
const CHECKS: usize = 3;

/// Where a [`ReplicatedJournal`] keeps what it acknowledges.
#[derive(Clone, Debug)]
pub struct ReplicatedOptions {
    /// The cluster.
    pub redis: RedisOptions,
    /// Whose journal it is: the first part of its keys. All processes that share it have the same.
    pub environment: String,
    /// A write is acknowledged only by a shard with so many replicas online. At
    /// 0 a shard without replicas takes writes, and loses them with its one node; too high: a shard takes
    /// none while a replica is away.
    pub min_replicas: usize,
}

/// Why a write was not taken.
#[derive(Clone, Debug, Error)]
pub enum Declined<R> {
    /// It would break a rule.
    #[error("the write is refused")]
    Refused(R),
    /// The shard did not keep it, or did not say so: it may be there or not. Writes of other shards
    /// in the same append are not concerned.
    #[error("the write may not be kept: {0}")]
    Unkept(Arc<TierError>),
}

/// A journal of six streams in Redis (lanes), each on one shard; a key is always in the same one. A write
/// is acknowledged when **every replica that is online** has it, and `min_replicas` at least.
///
/// | event | what was acknowledged |
/// | --- | --- |
/// | processes are killed, all of them | waits in Redis, and is applied by the next one |
/// | a primary is killed, and a replica that was online takes over | is applied. The shard takes writes again when it has `min_replicas`; until then they are declined, those of its keys alone |
/// | Postgres gone for a while | waits; new writes fail, for their check needs it |
/// | a process dies between the commit and the taking off | is not applied again: the database has its id, for ten minutes, and before its first flush a process asks for all that waits |
/// | a shard loses all its nodes at once, or the cluster is flushed | **is lost**, but for what was applied |
/// | a replica that was not online is promoted by hand | **can be lost**, and dead letters, too |
/// | all processes are away for more than ten minutes after one died between commit and taking off, while another mode's processes flush to the same database | **can be applied twice** |
///
/// * It knows no version before the flush, and so names none. Who reads lays
///   [`overlay`](Self::overlay) over what he has read. The process that has accepted a write shows it at
///   once; the others, which follow all lanes, a few milliseconds later. One that has lost its
///   connection to a lane goes on with what it knew of it, and its own, until the database has the write.
/// * A write is refused at once where it would break a rule, by what the database says at that moment
///   and what is known here to wait. Two processes that sell the last piece in the same moment both
///   grant it; then one becomes a dead letter.
/// * Positions are `8 * sequence + lane`, and say nothing of the order between processes: that is
///   the lane's. What was flushed is known for ten minutes.
/// * **One process flushes a lane at a time**, under a lease of five seconds. Should a second begin
///   because the first is slow, both apply entries of a key from its oldest on, and the database, which
///   records their ids in the same transaction, takes each once: whoever comes second finds it applied,
///   and only takes it off. An entry is taken off after the commit, and only under its own id.
pub struct ReplicatedJournal<S: Sink> {
    shared: Arc<Shared<S>>,
    writers: Vec<mpsc::UnboundedSender<Batch<S::Entry>>>,
    tasks: Vec<AbortHandle>,
}

impl<S: Sink> std::fmt::Debug for ReplicatedJournal<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let overlay = &self.shared.overlay;
        f.debug_struct("ReplicatedJournal").field("overlay", overlay).finish_non_exhaustive()
    }
}

impl<S: Sink> Drop for ReplicatedJournal<S> {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl<S: Sink> ReplicatedJournal<S> {
    /// A journal whose writes go to `sink`. It begins to follow what others write. A cluster that does not
    /// answer is asked again.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn new(sink: S, options: &ReplicatedOptions) -> Self {
        let lane = |index| {
            let stream = stream(&options.environment, index);
            Lane::new(options.redis.clone(), stream, options.min_replicas)
        };
        let sink = Arc::new(sink);
        let shared = Arc::new(Shared {
            lanes: (0..TAGS.len()).map(|index| Mutex::new(Books::new(lane(index)))).collect(),
            overlay: Arc::new(Overlay::new(&sink)),
            sink,
            next: AtomicU64::new(first_sequence()),
            first: AtomicUsize::new(0),
            turn: Mutex::default(),
        });
        let (mut writers, mut tasks) = (Vec::new(), Vec::new());
        for index in 0..TAGS.len() {
            let (writer, queue) = mpsc::unbounded_channel();
            writers.push(writer);
            let weak = Arc::downgrade(&shared);
            let write = tokio::spawn(shared::write(weak.clone(), index, lane(index), queue));
            let follow = tokio::spawn(shared::follow(weak, index, lane(index)));
            tasks.extend([write.abort_handle(), follow.abort_handle()]);
        }
        Self { shared, writers, tasks }
    }

    /// What waits, to be laid over what is read.
    #[must_use]
    pub fn overlay(&self) -> &Arc<Overlay<S::Entry>> {
        &self.shared.overlay
    }

    /// Where writes go.
    #[must_use]
    pub fn sink(&self) -> &S {
        &self.shared.sink
    }

    fn next(&self, lane: usize) -> u64 {
        position(self.shared.next.fetch_add(1, Ordering::Relaxed), lane)
    }

    /// What is there of each of `keys`, and waits or was granted.
    async fn states(&self, keys: &[String]) -> Result<HashMap<String, S::State>, JournalError> {
        let Shared { sink, overlay, .. } = &*self.shared;
        let mut round = 0;
        loop {
            round += 1;
            let bases = sink.bases(keys).await?;
            if bases.len() != keys.len() {
                let what = "the sink answered other keys than it was asked for";
                return Err(JournalError(what.into()));
            }
            // Asked after the values were read: what is not applied now is in none of them.
            let unsure = overlay.unsure_of(keys);
            if !unsure.is_empty() {
                let ids: Vec<u64> = unsure.keys().copied().collect();
                for (id, made) in sink.made(&ids).await? {
                    overlay.made(&unsure[&id], id, &made);
                }
                let is_asked = |id: &u64| unsure.contains_key(id);
                if round < CHECKS && !overlay.unsure_of(keys).keys().all(is_asked) {
                    continue;
                }
            }
            let states = keys.iter().zip(bases).map(|(name, base)| {
                let mut state = base.value;
                S::lay(
                    &mut state,
                    &overlay.lacking(name, &base.namespace, &base.key, base.version),
                );
                (name.clone(), state)
            });
            return Ok(states.collect());
        }
    }

    /// Grants what breaks no rule, and hands it to the lanes.
    async fn grant(&self, writes: &[Write<S::Operation>]) -> Result<Granted<S>, JournalError> {
        let _turn = self.shared.turn.lock().await;
        let mut keys: Vec<String> = writes.iter().map(|write| write.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut states = self.states(&keys).await?;
        let mut by_lane: Vec<Vec<Item<S::Entry>>> = TAGS.iter().map(|_| Vec::new()).collect();
        let granted = writes.iter().map(|write| {
            let state = states.get_mut(&write.key).expect("every key was read");
            let entry = S::accept(state, &write.operation)?;
            let lane = lane_of(&write.key);
            let id = self.next(lane);
            self.shared.overlay.grant(&write.key, id, entry.clone());
            let body = body(&write.key, &S::keep(&entry));
            by_lane[lane].push(Item { id, key: write.key.clone(), entry: Ok(entry), body });
            Ok((lane, id))
        });
        let granted = granted.collect();
        let mut answers = HashMap::new();
        for (lane, items) in by_lane.into_iter().enumerate().filter(|(_, items)| !items.is_empty())
        {
            let (answer, answered) = oneshot::channel();
            // In turn: the lane has them in the order in which they were granted.
            if self.writers[lane].send(Batch { items, answer }).is_err() {
                return Err(JournalError("a lane's writer has ended".into()));
            }
            answers.insert(lane, answered);
        }
        Ok(Granted { granted, answers })
    }

    async fn sync_all(&self) -> Result<(), JournalError> {
        let synced = join_all((0..TAGS.len()).map(|lane| self.shared.sync(lane))).await;
        let mut last = None;
        for answer in synced {
            match answer {
                // One lane that answers is enough: those of a dead shard are counted as they were.
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        last.map_or(Ok(()), |error| Err(failed(error)))
    }
}

struct Granted<S: Sink> {
    granted: Vec<Result<(usize, u64), S::Refusal>>,
    answers: HashMap<usize, oneshot::Receiver<Result<(), Arc<TierError>>>>,
}

impl<S: Sink> Journal for ReplicatedJournal<S> {
    type Operation = S::Operation;
    type Refusal = Declined<S::Refusal>;

    const MODE: Mode = Mode::Replicated;

    async fn append(
        &self,
        writes: &[Write<S::Operation>],
    ) -> Result<Vec<Result<Journaled, Declined<S::Refusal>>>, JournalError> {
        let Granted { granted, answers } = self.grant(writes).await?;
        let mut kept = HashMap::new();
        for (lane, answered) in answers {
            let answer = answered.await;
            kept.insert(lane, answer.map_err(|_| JournalError("a lane's writer ended".into()))?);
        }
        let taken = granted.into_iter().map(|granted| {
            let (lane, position) = granted.map_err(Declined::Refused)?;
            kept[&lane].clone().map_err(Declined::Unkept)?;
            Ok(Journaled { position, changes: Vec::new() })
        });
        Ok(taken.collect())
    }

    async fn flush(&self, options: &FlushOptions) -> Result<Flushed, JournalError> {
        self.shared.flush(options).await
    }

    async fn settle(&self, key: &str) -> Result<Flushed, JournalError> {
        self.shared.settle(lane_of(key), key).await
    }

    async fn state(&self) -> Result<JournalState, JournalError> {
        self.sync_all().await?;
        let mut state = JournalState::default();
        for lane in &self.shared.lanes {
            let books = lane.lock().await;
            state.depth += books.depth() as u64;
            state.dead += books.dead();
            state.oldest = state.oldest.max(Duration::from_millis(books.oldest_ms()));
        }
        Ok(state)
    }

    async fn find(&self, position: u64) -> Result<Option<WriteState>, JournalError> {
        let Some(lane) = lane_at(position) else { return Ok(None) };
        self.shared.sync(lane).await.map_err(failed)?;
        let (is_waiting, is_dead) = {
            let mut books = self.shared.lanes[lane].lock().await;
            let is_waiting = books.all().any(|(_, item)| item.id == position);
            let letter = books.lane.dead_letter(position).await.map_err(failed)?;
            (is_waiting, letter.is_some())
        };
        if is_dead {
            return Ok(Some(WriteState::Dead));
        }
        if self.shared.sink.made(&[position]).await?.contains_key(&position) {
            return Ok(Some(WriteState::Flushed));
        }
        Ok(is_waiting.then_some(WriteState::Pending))
    }

    async fn dead_letters(&self, most: usize) -> Result<Vec<DeadLetter>, JournalError> {
        let mut letters = Vec::new();
        for (index, lane) in self.shared.lanes.iter().enumerate() {
            self.shared.sync(index).await.map_err(failed)?;
            let mut books = lane.lock().await;
            let now = books.now();
            for (id, kept) in books.lane.buried().await.map_err(failed)? {
                let letter = Letter::read(&kept).map_err(|error| JournalError(error.into()))?;
                letters.push((letter.since_ms, id, letter, now));
            }
        }
        letters.sort_unstable_by_key(|(since, id, ..)| (*since, *id));
        let oldest = letters.into_iter().take(most);
        Ok(oldest.map(|(_, position, letter, now)| shown::<S>(position, letter, now)).collect())
    }

    async fn dead_letter(&self, position: u64) -> Result<Option<DeadLetter>, JournalError> {
        let Some(lane) = lane_at(position) else { return Ok(None) };
        self.shared.sync(lane).await.map_err(failed)?;
        let mut books = self.shared.lanes[lane].lock().await;
        let now = books.now();
        let kept = books.lane.dead_letter(position).await.map_err(failed)?;
        let letter = kept.map(|kept| Letter::read(&kept)).transpose();
        let letter = letter.map_err(|error| JournalError(error.into()))?;
        Ok(letter.map(|letter| shown::<S>(position, letter, now)))
    }

    async fn replay(&self, position: u64) -> Result<Option<Journaled>, JournalError> {
        let Some(lane) = lane_at(position) else { return Ok(None) };
        let letter = {
            let mut books = self.shared.lanes[lane].lock().await;
            books.lane.dead_letter(position).await.map_err(failed)?
        };
        let Some(letter) = letter else { return Ok(None) };
        if self.shared.sink.made(&[position]).await?.contains_key(&position) {
            // A flusher that was overtaken has applied it after all.
            self.discard(position).await?;
            return Ok(None);
        }
        let letter = Letter::read(&letter).map_err(|error| JournalError(error.into()))?;
        let id = self.next(lane);
        let item = Item::<S::Entry>::read::<S>(id, letter.body.into());
        let mut books = self.shared.lanes[lane].lock().await;
        let anew = LaneEntry { id, body: item.body.clone() };
        let Some(at) = books.lane.exhume(position, &anew).await.map_err(failed)? else {
            return Ok(None);
        };
        books.put(at, item, &self.shared.overlay);
        Ok(Some(Journaled { position: id, changes: Vec::new() }))
    }

    async fn discard(&self, position: u64) -> Result<bool, JournalError> {
        let Some(lane) = lane_at(position) else { return Ok(false) };
        self.shared.lanes[lane].lock().await.lane.discard(position).await.map_err(failed)
    }
}

/// A dead letter for people to read, at the moment `now` of its shard.
fn shown<S: Sink>(position: u64, letter: Letter, now: u64) -> DeadLetter {
    let Letter { body, error, attempts, since_ms } = letter;
    let item = Item::<S::Entry>::read::<S>(position, body.into());
    let operation = match &item.entry {
        Ok(entry) => S::spell(entry),
        Err(error) => format!("unreadable: {error}"),
    };
    let age = Duration::from_millis(now.saturating_sub(since_ms));
    DeadLetter { position, key: item.key, operation, error, attempts, age }
}
