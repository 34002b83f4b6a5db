//! The in-memory twin of a change feed, and its writers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use larder::{Batch, Change, Feed, FeedError, Place, Version};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a holder that is gone keeps the right to relay.
pub(crate) const HELD: Duration = Duration::from_secs(2);

/// What was committed, as everybody who relays it sees it.
#[derive(Default)]
pub(crate) struct Commits {
    log: Mutex<Log>,
    bell: Notify,
}

#[derive(Default)]
struct Log {
    changes: Vec<Change>,
    /// Moves of epochs, and after how many changes.
    epochs: Vec<(usize, String, u32)>,
    place: usize,
    held: Option<(u64, Instant)>,
}

/// The feed of one process.
pub(crate) struct MemoryFeed {
    commits: Arc<Commits>,
    name: u64,
}

impl Commits {
    pub(crate) fn feed(self: &Arc<Self>, name: u64) -> Arc<MemoryFeed> {
        Arc::new(MemoryFeed { commits: Arc::clone(self), name })
    }

    /// A commit that nobody is told of otherwise.
    pub(crate) fn commit(&self, key: &str, version: Version) {
        let (namespace, key) = ("things".to_owned(), key.to_owned());
        self.log().changes.push(Change { namespace, key, version });
        self.bell.notify_one();
    }

    pub(crate) fn move_epoch(&self, namespace: &str, epoch: u32) {
        let mut log = self.log();
        let at = log.changes.len();
        log.epochs.push((at, namespace.to_owned(), epoch));
        drop(log);
        self.bell.notify_one();
    }

    pub(crate) fn holder(&self) -> Option<u64> {
        self.log().held.map(|(name, _)| name)
    }

    pub(crate) fn epoch(&self, namespace: &str) -> u32 {
        let log = self.log();
        let of = log.epochs.iter().filter(|(_, name, _)| name == namespace);
        of.map(|(_, _, epoch)| *epoch).max().unwrap_or(1)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryFeed {
    fn hold(&self) -> Option<usize> {
        let (mut log, now) = (self.commits.log(), Instant::now());
        if log.held.is_some_and(|(name, until)| name != self.name && until > now) {
            return None;
        }
        log.held = Some((self.name, now + HELD));
        Some(log.place)
    }
}

fn index(place: &Place) -> usize {
    place.as_str().parse().expect("a place of this feed")
}

impl Feed for MemoryFeed {
    async fn claim(&self) -> Result<Option<Place>, FeedError> {
        Ok(self.hold().map(|place| Place::new(place.to_string())))
    }

    async fn remember(&self, place: &Place) -> Result<bool, FeedError> {
        let held = self.hold().is_some();
        if held {
            self.commits.log().place = index(place);
        }
        Ok(held)
    }

    async fn resign(&self) -> Result<(), FeedError> {
        self.commits.log().held.take_if(|(name, _)| *name == self.name);
        Ok(())
    }

    async fn since(&self, place: &Place, limit: usize) -> Result<Batch, FeedError> {
        let (log, from) = (self.commits.log(), index(place));
        let mut newest = BTreeMap::new();
        for change in &log.changes[from..] {
            newest.insert((&change.namespace, &change.key), change);
        }
        let changes: Vec<Change> = newest.into_values().cloned().collect();
        let (changes, overflown) = if changes.len() > limit {
            (Vec::new(), vec!["things".to_owned()])
        } else {
            (changes, Vec::new())
        };
        let epochs = log.epochs.iter().filter(|(at, _, _)| *at >= from);
        let epochs = epochs.map(|(_, name, epoch)| (name.clone(), *epoch)).collect();
        let place = Place::new(log.changes.len().to_string());
        Ok(Batch { changes, epochs, overflown, place })
    }

    async fn rung(&self) {
        self.commits.bell.notified().await;
    }

    async fn clear(&self, namespaces: &[String]) -> Result<(), FeedError> {
        for namespace in namespaces {
            self.commits.move_epoch(namespace, self.commits.epoch(namespace) + 1);
        }
        Ok(())
    }

    async fn epochs(&self) -> Result<Vec<(String, u32)>, FeedError> {
        Ok(vec![("things".to_owned(), self.commits.epoch("things"))])
    }
}
