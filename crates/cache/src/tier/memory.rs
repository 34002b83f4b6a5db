//! The in-memory twin of the Redis tier.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Held, Verdict};
use crate::entry::{peek_is_value, peek_version};
use crate::version::Version;

/// A tier in this process's memory that behaves as Redis with Larder's scripts does.
///
/// For tests and for trying things out: it has no bound and is not shared. Time is Tokio's,
/// so a test with a paused clock decides when entries expire.
#[derive(Debug, Default)]
pub struct MemoryTier {
    entries: Mutex<HashMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    bytes: Bytes,
    until: Instant,
}

impl MemoryTier {
    pub(super) fn read(&self, key: &str, life: bool) -> Option<Held> {
        let now = Instant::now();
        let entries = self.live(now);
        let kept = entries.get(key)?;
        Some(Held { bytes: kept.bytes.clone(), remaining: life.then(|| kept.until - now) })
    }

    pub(super) fn fill(&self, key: &str, entry: Bytes, version: Version, ttl: Duration) -> Verdict {
        self.store(key, entry, ttl, |held, _| held > version)
    }

    pub(super) fn invalidate(
        &self,
        key: &str,
        tombstone: Bytes,
        version: Version,
        ttl: Duration,
    ) -> Verdict {
        self.store(key, tombstone, ttl, |held, is_value| {
            held > version || (is_value && held == version)
        })
    }

    fn store(
        &self,
        key: &str,
        bytes: Bytes,
        ttl: Duration,
        stays: impl FnOnce(Version, bool) -> bool,
    ) -> Verdict {
        let now = Instant::now();
        let mut entries = self.live(now);
        if let Some(kept) = entries.get(key)
            && let Some(held) = peek_version(&kept.bytes)
            && stays(held, peek_is_value(&kept.bytes))
        {
            return Verdict::Newer;
        }
        entries.insert(key.to_owned(), Kept { bytes, until: now + ttl });
        Verdict::Stored
    }

    fn live(&self, now: Instant) -> MutexGuard<'_, HashMap<String, Kept>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, kept| kept.until > now);
        entries
    }
}
