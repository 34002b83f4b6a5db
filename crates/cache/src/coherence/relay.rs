//! The relay: one process tells all of what the origin committed.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep, timeout};

use super::CoherenceOptionsError;
use super::announcer::Announcer;
use super::feed::{Batch, Change, Feed, FeedError, Place};
use super::hub::Hub;
use super::message::Event;
use super::status::RelayStatus;
use crate::entry::Entry;
use crate::key::KeySpace;
use crate::redis::Histories;
use crate::tier::L2;
use crate::version::Version;

/// How long a tombstone that the relay leaves is kept: longer than any load may take.
const TOMBSTONE_LIFE: Duration = Duration::from_secs(60);
/// Invalidations sent to L2 at the same time.
const AT_ONCE: usize = 256;
/// How often the right to relay is claimed or kept.
const CLAIM_EVERY: Duration = Duration::from_secs(1);
/// How often the shards' histories are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a place is noted, to go back to.
const NOTE_EVERY: Duration = Duration::from_secs(2);
/// How long it waits after the doorbell for what else is committed.
const GATHER: Duration = Duration::from_millis(2);
/// How long one question to the feed may take before the relay gives up its turn.
const ANSWER: Duration = Duration::from_secs(10);

/// How a feed is relayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayOptions {
    /// How often the feed is asked when no doorbell rings. Too low: work for nothing; too high:
    /// a change whose ring was lost is seen so much later.
    pub poll: Duration,
    /// Changed keys of one namespace in one batch, beyond which the namespace is cleared: that is
    /// quicker than to tell of each.
    pub clear_above: usize,
    /// Changes that wait for a shard that does not answer, at most; beyond it, what they concern
    /// is cleared.
    pub backlog: usize,
    /// How far back everything is told again when a shard's history has changed (a replica was
    /// promoted, and may have lost what was told last), and when another process becomes the
    /// relay. It must be longer than a failover takes and a replica lags.
    pub replay: Duration,
}

/// The relay of this process.
pub(crate) struct Relay<F> {
    pub(crate) feed: Arc<F>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) l2: Arc<L2>,
    pub(crate) announcer: Announcer,
    pub(crate) environment: String,
    pub(crate) options: RelayOptions,
    pub(crate) status: Arc<RelayStatus>,
}

/// What one turn as the relay remembers.
struct Turn {
    /// Where to read on.
    place: Place,
    /// Earlier places, the oldest first. Its first is what is remembered durably: whoever comes
    /// next tells again what was told since.
    earlier: VecDeque<(Instant, Place)>,
    backlog: Backlog,
    /// Who tells the shards' histories; nobody where there are no shards.
    watched: Option<Histories>,
    /// What names the history of each shard, by its primary.
    histories: HashMap<String, String>,
    remembered: Instant,
    looked: Instant,
    /// When everything up to `place` had been taken.
    complete: Instant,
}

/// What has not been taken yet.
#[derive(Default)]
struct Backlog {
    /// The newest version of each key.
    keys: HashMap<(String, String), Version>,
    /// The newest epoch of each namespace.
    epochs: HashMap<String, u32>,
}

impl Default for RelayOptions {
    /// A poll every 100 ms, clearing above 20,000 keys, a backlog of 100,000, 30 s of replay.
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(100),
            clear_above: 20_000,
            backlog: 100_000,
            replay: Duration::from_secs(30),
        }
    }
}

impl RelayOptions {
    pub(super) fn validate(&self) -> Result<(), CoherenceOptionsError> {
        let refuse = |option, reason| Err(CoherenceOptionsError { option, reason });
        if self.poll.as_millis() == 0 {
            return refuse("poll", "must be at least 1 ms");
        }
        if self.clear_above == 0 {
            return refuse("clear_above", "must be at least 1");
        }
        if self.backlog == 0 {
            return refuse("backlog", "must be at least 1");
        }
        if self.replay < Duration::from_secs(5) {
            return refuse("replay", "must be at least 5 s: a failover takes as long");
        }
        Ok(())
    }
}

impl<F: Feed> Relay<F> {
    /// Waits for its turn and relays, again and again, until it is aborted.
    pub(crate) async fn run(self) {
        loop {
            match in_time(self.feed.claim()).await {
                Ok(Some(place)) => {
                    tracing::info!("this process relays the change feed");
                    self.status.begin();
                    if let Err(error) = self.turn(place).await {
                        tracing::warn!(%error, "the change feed is not relayed from here any more");
                    }
                    self.status.end();
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "the change feed does not answer"),
            }
            sleep(CLAIM_EVERY).await;
        }
    }

    /// Relays until the right to it is lost (which is no error) or the feed does not answer.
    async fn turn(&self, place: Place) -> Result<(), FeedError> {
        let now = Instant::now();
        let mut turn = Turn {
            earlier: VecDeque::from([(now, place.clone())]),
            place,
            backlog: Backlog::default(),
            watched: self.l2.histories(),
            histories: HashMap::new(),
            remembered: now,
            looked: now,
            complete: now,
        };
        loop {
            let began = Instant::now();
            let batch = in_time(self.feed.since(&turn.place, self.options.clear_above)).await?;
            turn.place = self.publish(batch, &mut turn.backlog).await?;
            self.repeat(&mut turn.backlog).await?;
            if turn.backlog.len() == 0 {
                turn.complete = began;
            }
            self.status.report(turn.backlog.len(), turn.complete.elapsed());
            if began.duration_since(turn.looked) >= LOOK_EVERY {
                turn.looked = began;
                self.look(&mut turn).await?;
            }
            turn.note(began, self.options.replay);
            if began.duration_since(turn.remembered) >= CLAIM_EVERY {
                turn.remembered = began;
                let (_, oldest) = turn.earlier.front().expect("one is always kept");
                if !in_time(self.feed.remember(oldest)).await? {
                    return Ok(());
                }
            }
            if timeout(self.options.poll, self.feed.rung()).await.is_ok() {
                // What is committed together is told together.
                sleep(GATHER).await;
            }
        }
    }

    /// Tells all of a batch, and answers where to go on. What a shard does not take goes into the
    /// backlog.
    async fn publish(&self, batch: Batch, backlog: &mut Backlog) -> Result<Place, FeedError> {
        let Batch { mut changes, epochs, mut overflown, place } = batch;
        // Before anything is left out: what came after a strategy switch may matter to others.
        for (namespace, epoch) in &epochs {
            self.hub.raise(namespace, *epoch);
        }
        overflown.retain(|namespace| self.hub.minds(namespace));
        if !overflown.is_empty() {
            tracing::warn!(?overflown, "too much has changed to tell of each key: clearing");
            self.clear(&overflown).await?;
        }
        changes.retain(|change| {
            self.hub.minds(&change.namespace) && !self.hub.sabotage().hides(&change.key)
        });
        backlog.extend(self.tell(changes).await);
        self.tell_epochs(epochs, backlog).await;
        Ok(place)
    }

    async fn tell_epochs(
        &self,
        epochs: impl IntoIterator<Item = (String, u32)>,
        backlog: &mut Backlog,
    ) {
        for (namespace, epoch) in epochs {
            self.hub.raise(&namespace, epoch);
            if self.announcer.tell(Event::epoch(&namespace, epoch)).await.is_err() {
                backlog.epochs.insert(namespace, epoch);
            }
        }
    }

    /// Tells L2, then the processes; the changes that were not taken by both.
    async fn tell(&self, changes: Vec<Change>) -> Vec<Change> {
        let told = stream::iter(changes).map(async |change| {
            let Change { namespace, key, version } = &change;
            let entry = KeySpace::new(&self.environment, namespace).key(key);
            let tombstone = Entry::Tombstone(*version).encode();
            let in_l2 = self.l2.invalidate(&entry, tombstone, *version, TOMBSTONE_LIFE).await;
            self.hub.relay(namespace, key, *version);
            // Also where L2 did not take it: what processes hold is old all the same.
            let by_all = self.announcer.tell(Event::key(namespace, key, *version)).await;
            self.status.told();
            (in_l2.is_err() || by_all.is_err()).then_some(change)
        });
        told.buffer_unordered(AT_ONCE).filter_map(async |left| left).collect().await
    }

    /// Tries again what was not taken; clears what it concerns when that is too much.
    async fn repeat(&self, backlog: &mut Backlog) -> Result<(), FeedError> {
        if backlog.keys.len() > self.options.backlog {
            let names = backlog.keys.keys().map(|(namespace, _)| namespace.clone());
            let namespaces: Vec<String> = names.collect::<BTreeSet<_>>().into_iter().collect();
            tracing::warn!(?namespaces, "too much waits for a shard: clearing");
            self.clear(&namespaces).await?;
            backlog.keys.clear();
        }
        let waiting = backlog.keys.drain();
        let waiting =
            waiting.map(|((namespace, key), version)| Change { namespace, key, version }).collect();
        let left = self.tell(waiting).await;
        backlog.extend(left);
        let epochs = std::mem::take(&mut backlog.epochs);
        self.tell_epochs(epochs, backlog).await;
        Ok(())
    }

    async fn clear(&self, namespaces: &[String]) -> Result<(), FeedError> {
        self.status.cleared();
        in_time(self.feed.clear(namespaces)).await
    }

    /// Tells again what was told lately when a shard's history is not the one that it was told
    /// to: the replica that was promoted may not have had it.
    async fn look(&self, turn: &mut Turn) -> Result<(), FeedError> {
        let Some(watched) = &mut turn.watched else { return Ok(()) };
        let histories = watched.ask().await;
        let first = turn.histories.is_empty();
        let mut changed = false;
        for (primary, history) in histories {
            changed |= turn.histories.get(&primary) != Some(&history);
            turn.histories.insert(primary, history);
        }
        if first || !changed {
            return Ok(());
        }
        tracing::warn!("a shard has another history: telling it what was told lately");
        self.status.replayed();
        let (_, oldest) = turn.earlier.front().expect("one is always kept");
        let batch = in_time(self.feed.since(oldest, self.options.clear_above)).await?;
        turn.place = self.publish(batch, &mut turn.backlog).await?;
        Ok(())
    }
}

impl Backlog {
    fn len(&self) -> usize {
        self.keys.len() + self.epochs.len()
    }

    fn extend(&mut self, changes: Vec<Change>) {
        self.keys.extend(changes.into_iter().map(|change| {
            let Change { namespace, key, version } = change;
            ((namespace, key), version)
        }));
    }
}

impl Turn {
    /// Notes the place to go back to, and forgets those that nobody will go back to: all but one
    /// that are older than `replay`, as long as nothing waits.
    fn note(&mut self, now: Instant, replay: Duration) {
        let (noted, _) = self.earlier.back().expect("one is always kept");
        if now.duration_since(*noted) >= NOTE_EVERY {
            self.earlier.push_back((now, self.place.clone()));
        }
        while self.backlog.len() == 0
            && self.earlier.get(1).is_some_and(|(noted, _)| now.duration_since(*noted) >= replay)
        {
            self.earlier.pop_front();
        }
    }
}

async fn in_time<T>(question: impl Future<Output = Result<T, FeedError>>) -> Result<T, FeedError> {
    let answer = timeout(ANSWER, question).await;
    answer.unwrap_or_else(|_elapsed| Err("no answer in time".into()))
}
