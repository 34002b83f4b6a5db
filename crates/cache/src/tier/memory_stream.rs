//! The in-memory twin of a stream in Redis.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::stream::{ENTRIES_KEPT, Position, Posted, Tail};

/// Streams by key.
#[derive(Debug, Default)]
pub(super) struct MemoryStreams(Mutex<HashMap<String, Arc<MemoryStream>>>);

#[derive(Debug, Default)]
struct MemoryStream {
    kept: Mutex<Kept>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Posted>,
    last: Position,
}

/// Reads a [`MemoryStream`].
#[derive(Debug)]
pub(crate) struct MemoryReader(Arc<MemoryStream>);

impl MemoryStreams {
    pub(super) fn append(&self, key: &str, sender: &Bytes, message: &Bytes) {
        self.stream(key).append(sender, message);
    }

    pub(super) fn reader(&self, key: &str) -> MemoryReader {
        MemoryReader(self.stream(key))
    }

    fn stream(&self, key: &str) -> Arc<MemoryStream> {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(streams.entry(key.to_owned()).or_default())
    }
}

impl MemoryStream {
    fn append(&self, sender: &Bytes, message: &Bytes) {
        let mut kept = self.kept();
        let before = kept.last;
        let at = Position { millis: before.millis, sequence: before.sequence + 1 };
        let (sender, message) = (sender.clone(), message.clone());
        kept.entries.push_back(Posted { at, before, sender, message });
        kept.last = at;
        if kept.entries.len() > ENTRIES_KEPT {
            kept.entries.pop_front();
        }
        drop(kept);
        self.grown.notify_waiters();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryReader {
    pub(super) fn tail(&self) -> Tail {
        Tail { generation: String::new(), last: self.0.kept().last }
    }

    pub(super) async fn read(&self, after: Position, patience: Duration) -> Vec<Posted> {
        let grown = self.0.grown.notified();
        let found = self.after(after);
        if !found.is_empty() {
            return found;
        }
        let _grown = timeout(patience, grown).await;
        self.after(after)
    }

    fn after(&self, after: Position) -> Vec<Posted> {
        let kept = self.0.kept();
        kept.entries.iter().filter(|entry| entry.at > after).cloned().collect()
    }
}
