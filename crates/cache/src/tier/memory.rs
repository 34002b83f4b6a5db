//! The in-memory twin of the Redis tier.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::Instant;

use super::memory_stream::MemoryStreams;
use super::{Acquire, Acquired, Enough, MemoryReader, Store, Stored, Token, Verdict, Wakes};
use crate::entry::{Entry, FLAG, HEADER, LEASE};
use crate::version::Version;

/// A tier in this process's memory that behaves as Redis with Larder's scripts does.
///
/// For tests and for trying things out: it has no bound and is not shared. Time is Tokio's,
/// so a test with a paused clock decides when entries expire.
#[derive(Debug, Default)]
pub struct MemoryTier {
    entries: Mutex<HashMap<String, Kept>>,
    wakes: Wakes,
    streams: MemoryStreams,
}

#[derive(Debug)]
struct Kept {
    /// Without a lease.
    bytes: Bytes,
    until: Instant,
    lease: Option<Lease>,
}

#[derive(Debug)]
struct Lease {
    token: Token,
    /// Nothing once an invalidation has ended it; its holder stays known.
    until: Option<Instant>,
}

/// What the scripts read of an entry's head.
struct Head {
    version: Version,
    state: u8,
    stale: Duration,
}

impl Kept {
    fn head(&self) -> Option<Head> {
        let (version, stale) = match Entry::decode(&self.bytes).ok()? {
            Entry::Value(value) => (value.version, value.stale),
            Entry::Tombstone(version) | Entry::Lease(version) => (version, Duration::ZERO),
        };
        Some(Head { version, state: self.bytes[1], stale })
    }

    fn is_leased(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.until.is_some())
    }

    /// The lease after an invalidation.
    fn ended_lease(&self) -> Option<Lease> {
        self.lease.as_ref().map(|lease| Lease { token: lease.token.clone(), until: None })
    }

    /// Whether this token's lease was the last that was granted.
    fn is_leased_to(&self, token: &Token) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.token == *token)
    }
}

impl Head {
    const fn is_value(&self) -> bool {
        matches!(self.state, b'v' | b'n')
    }
}

impl MemoryTier {
    pub(super) const fn wakes(&self) -> &Wakes {
        &self.wakes
    }

    pub(super) fn append(&self, key: &str, sender: &Bytes, message: &Bytes) {
        self.streams.append(key, sender, message);
    }

    pub(super) fn reader(&self, key: &str) -> MemoryReader {
        self.streams.reader(key)
    }

    pub(super) fn read(&self, key: &str, life: bool) -> Option<Stored> {
        let now = Instant::now();
        let entries = self.live(now);
        let kept = entries.get(key)?;
        let mut bytes = kept.bytes.clone();
        if kept.is_leased() {
            let mut leased = BytesMut::with_capacity(bytes.len() + LEASE);
            leased.put_slice(&bytes[..FLAG]);
            leased.put_u8(b'L');
            leased.put_bytes(b'f', LEASE);
            leased.put_slice(&bytes[HEADER..]);
            bytes = leased.freeze();
        }
        Some(Stored { bytes, remaining: life.then(|| kept.until - now) })
    }

    pub(super) fn acquire(&self, wish: &Acquire<'_>) -> Acquired {
        let now = Instant::now();
        let mut entries = self.live(now);
        let end = now + wish.lease;
        let lease = Some(Lease { token: wish.token.clone(), until: Some(end) });
        let bare = |version| Entry::Lease(version).encode();
        let Some(kept) = entries.get_mut(wish.key) else {
            let bytes = bare(Version::default());
            entries.insert(wish.key.to_owned(), Kept { bytes, until: end, lease });
            return Acquired::Granted;
        };
        let Some(head) = kept.head() else {
            *kept = Kept { bytes: bare(Version::default()), until: end, lease };
            return Acquired::Granted;
        };
        let left = kept.until - now;
        if head.is_value() && head.version.epoch >= wish.floor {
            let enough = match wish.enough {
                Enough::Fresh => left > head.stale,
                Enough::LongerThan(seen) => left > seen,
                Enough::Nothing => false,
            };
            if enough {
                return Acquired::Hit(Stored { bytes: kept.bytes.clone(), remaining: Some(left) });
            }
        }
        if let Some(other) = &kept.lease
            && other.token != *wish.token
            && let Some(until) = other.until
            && until > now
        {
            return Acquired::Wait(until - now);
        }
        if head.is_value() && left <= wish.lease {
            *kept = Kept { bytes: bare(head.version), until: end, lease };
        } else {
            kept.until = kept.until.max(end);
            kept.lease = lease;
        }
        Acquired::Granted
    }

    pub(super) fn fill(&self, store: Store<'_>) -> Verdict {
        let now = Instant::now();
        let mut entries = self.live(now);
        let Some(kept) = entries.get_mut(store.key) else { return Verdict::LeaseLost };
        let Some(head) = kept.head() else { return Verdict::LeaseLost };
        if head.version > store.version {
            return Verdict::Newer;
        }
        if !kept.is_leased_to(store.token) {
            let same = head.version == store.version && head.is_value();
            return if same { Verdict::Stored } else { Verdict::LeaseLost };
        }
        *kept = Kept { bytes: store.entry, until: now + store.life, lease: None };
        self.wakes.wake(store.key);
        Verdict::Stored
    }

    pub(super) fn publish(
        &self,
        store: Store<'_>,
        tombstone: Bytes,
        tombstone_life: Duration,
    ) -> Verdict {
        let now = Instant::now();
        let mut entries = self.live(now);
        let held = entries.get(store.key);
        let head = held.and_then(Kept::head);
        if let Some(head) = &head
            && (head.version > store.version || (head.version == store.version && head.is_value()))
        {
            return Verdict::Newer;
        }
        let mine = held.is_some_and(|kept| kept.is_leased_to(store.token));
        let guarded = !mine && head.as_ref().is_none_or(|head| !head.is_value());
        if guarded && head.is_some_and(|head| head.state == b't' && head.version == store.version) {
            return Verdict::Guarded;
        }
        let kept = if guarded {
            let lease = held.and_then(Kept::ended_lease);
            Kept { bytes: tombstone, until: now + tombstone_life, lease }
        } else {
            Kept { bytes: store.entry, until: now + store.life, lease: None }
        };
        let verdict = if guarded { Verdict::Guarded } else { Verdict::Stored };
        entries.insert(store.key.to_owned(), kept);
        self.wakes.wake(store.key);
        verdict
    }

    pub(super) fn invalidate(
        &self,
        key: &str,
        tombstone: Bytes,
        version: Version,
        life: Duration,
    ) -> Verdict {
        let now = Instant::now();
        let mut entries = self.live(now);
        let until = now + life;
        if let Some(kept) = entries.get_mut(key)
            && let Some(head) = kept.head()
        {
            if head.version > version || (head.version == version && head.is_value()) {
                return Verdict::Newer;
            }
            if head.version == version && head.state == b't' {
                kept.until = kept.until.max(until);
                return Verdict::Stored;
            }
        }
        let lease = entries.get(key).and_then(Kept::ended_lease);
        entries.insert(key.to_owned(), Kept { bytes: tombstone, until, lease });
        self.wakes.wake(key);
        Verdict::Stored
    }

    pub(super) fn renew(&self, key: &str, token: &Token, lease: Duration) -> bool {
        let now = Instant::now();
        let mut entries = self.live(now);
        let Some(kept) = entries.get_mut(key) else { return false };
        let end = now + lease;
        match &mut kept.lease {
            Some(held) if held.token == *token && held.until.is_some() => held.until = Some(end),
            _ => return false,
        }
        kept.until = kept.until.max(end);
        true
    }

    pub(super) fn release(&self, key: &str, token: &Token) {
        let mut entries = self.live(Instant::now());
        let Some(kept) = entries.get_mut(key).filter(|kept| kept.is_leased_to(token)) else {
            return;
        };
        kept.lease = None;
        if kept.head().is_none_or(|head| head.state == b'l') {
            entries.remove(key);
        }
        self.wakes.wake(key);
    }

    pub(super) fn prolong(&self, key: &str, life: Duration) {
        let now = Instant::now();
        if let Some(kept) = self.live(now).get_mut(key) {
            kept.until = kept.until.max(now + life);
        }
    }

    fn live(&self, now: Instant) -> MutexGuard<'_, HashMap<String, Kept>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, kept| kept.until > now);
        entries
    }
}
