//! The tiers: L1 in this process, L2 where processes share entries.

#[cfg(test)]
mod contract;
mod l1;
mod l1_model;
mod memory;
mod memory_stream;
#[cfg(test)]
mod model;
mod redis;
mod stream;
mod wakes;

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

pub(crate) use self::l1::{Kept, L1, Place};
pub use self::l1_model::L1Model;
pub use self::memory::MemoryTier;
pub(crate) use self::memory_stream::MemoryReader;
pub use self::redis::RedisTier;
pub use self::stream::Position;
pub(crate) use self::stream::{Posted, Reader, Tail};

pub(crate) use self::wakes::{Listener, Wakes};
use crate::version::Version;

/// What a store of a tombstone led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is stored.
    Stored,
    /// Something as new was there, and stays.
    Newer,
    /// The lease was lost: nothing is stored.
    LeaseLost,
    /// A tombstone was stored in its place.
    Guarded,
}

/// Stored bytes, and how long L2 will keep them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) bytes: Bytes,
    /// Present where it was asked for.
    pub(crate) remaining: Option<Duration>,
}

/// An entry to store.
#[derive(Clone, Debug)]
pub(crate) struct Store<'a> {
    pub(crate) key: &'a str,
    pub(crate) entry: Bytes,
    pub(crate) version: Version,
    pub(crate) life: Duration,
    /// The lease under which it was loaded.
    pub(crate) token: &'a Token,
}

/// The wish to load a key.
#[derive(Clone, Debug)]
pub(crate) struct Acquire<'a> {
    pub(crate) key: &'a str,
    pub(crate) token: &'a Token,
    pub(crate) lease: Duration,
    /// Entries of an older epoch are as absent.
    pub(crate) floor: u32,
    pub(crate) enough: Enough,
}

/// Which value makes a load needless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Enough {
    /// One that is fresh.
    Fresh,
    /// One that lives longer than this: longer than the one that is to be reloaded.
    LongerThan(Duration),
    /// None: what is there cannot be used.
    Nothing,
}

/// The answer to the wish to load a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    /// There is no need: this is there.
    Hit(Stored),
    /// The lease is granted.
    Granted,
    /// Another one has the lease, for so long at most.
    Wait(Duration),
}

/// Names the holder of a lease: 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// One that nobody else has.
    pub(crate) fn unique() -> Self {
        Self(format!("{:016x}", rand::random::<u64>()))
    }

    /// That of a writer without a lease.
    pub(crate) const fn none() -> Self {
        Self(String::new())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why the tier could not answer.
#[derive(Debug, Error)]
pub enum TierError {
    /// The circuit breaker is open: the tier was not asked.
    #[error("redis is unavailable (circuit breaker open)")]
    Open,
    /// No answer within the deadline.
    #[error("redis did not answer within {0:?}")]
    Timeout(Duration),
    /// It is used for reading only.
    #[error("redis is used for reading only")]
    ReadOnly,
    /// The connection failed, or Redis refused.
    #[error("redis: {0}")]
    Redis(#[from] ::redis::RedisError),
}

impl TierError {
    /// A short name for `Cache-Status` details and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Open => "redis-unavailable",
            Self::Timeout(_) => "redis-timeout",
            Self::ReadOnly => "redis-read-only",
            Self::Redis(_) => "redis-error",
        }
    }
}

/// The tier that a cache was built on: Redis Cluster, or its in-memory twin for tests.
///
/// Both keep the same contract, held by one suite of tests:
/// - `read` returns what was stored last and has not expired;
/// - `acquire` grants a key's lease to one holder at a time, until it fills, releases, or lets
///   it expire, or until an invalidation or a publication clears it;
/// - `renew` prolongs a lease that is held, and never brings one back that was lost;
/// - `fill` needs its own lease, or to be the last holder of the one that the tombstone in its
///   place ended, which is not newer than what is filled;
/// - `publish` needs an older value to replace, or the lease, and leaves a tombstone otherwise;
/// - `invalidate` leaves a tombstone unless a value of that version or a newer one is there;
/// - nothing ever puts an older version in the place of a newer one;
/// - each can be repeated without changing the outcome.
#[derive(Debug)]
pub enum L2 {
    /// Redis Cluster.
    Redis(RedisTier),
    /// This process's memory.
    Memory(MemoryTier),
}

impl L2 {
    pub(crate) async fn read(&self, key: &str, life: bool) -> Result<Option<Stored>, TierError> {
        match self {
            Self::Redis(tier) => tier.read(key, life).await,
            Self::Memory(tier) => Ok(tier.read(key, life)),
        }
    }

    pub(crate) async fn acquire(&self, wish: &Acquire<'_>) -> Result<Acquired, TierError> {
        match self {
            Self::Redis(tier) => tier.acquire(wish).await,
            Self::Memory(tier) => Ok(tier.acquire(wish)),
        }
    }

    pub(crate) async fn fill(&self, store: Store<'_>) -> Result<Verdict, TierError> {
        match self {
            Self::Redis(tier) => tier.fill(&store).await,
            Self::Memory(tier) => Ok(tier.fill(store)),
        }
    }

    /// Stores what a write produced, or `tombstone` for `tombstone_life`.
    pub(crate) async fn publish(
        &self,
        store: Store<'_>,
        tombstone: Bytes,
        tombstone_life: Duration,
    ) -> Result<Verdict, TierError> {
        match self {
            Self::Redis(tier) => tier.publish(&store, &tombstone, tombstone_life).await,
            Self::Memory(tier) => Ok(tier.publish(store, tombstone, tombstone_life)),
        }
    }

    /// Stores `tombstone`, whose version is `version`, for `life`.
    pub(crate) async fn invalidate(
        &self,
        key: &str,
        tombstone: Bytes,
        version: Version,
        life: Duration,
    ) -> Result<Verdict, TierError> {
        match self {
            Self::Redis(tier) => tier.invalidate(key, &tombstone, version, life).await,
            Self::Memory(tier) => Ok(tier.invalidate(key, tombstone, version, life)),
        }
    }

    /// Lets a lease that is held live for `lease` from now on; whether it is.
    pub(crate) async fn renew(
        &self,
        key: &str,
        token: &Token,
        lease: Duration,
    ) -> Result<bool, TierError> {
        match self {
            Self::Redis(tier) => tier.renew(key, token, lease).await,
            Self::Memory(tier) => Ok(tier.renew(key, token, lease)),
        }
    }

    /// Gives a lease back without a value.
    pub(crate) async fn release(&self, key: &str, token: &Token) -> Result<(), TierError> {
        match self {
            Self::Redis(tier) => tier.release(key, token).await,
            Self::Memory(tier) => {
                tier.release(key, token);
                Ok(())
            }
        }
    }

    /// Lets an entry live for `life` from now on, if that is longer.
    pub(crate) async fn prolong(&self, key: &str, life: Duration) -> Result<(), TierError> {
        match self {
            Self::Redis(tier) => tier.prolong(key, life).await,
            Self::Memory(tier) => {
                tier.prolong(key, life);
                Ok(())
            }
        }
    }

    /// Waits for changes of `key`, from now on.
    pub(crate) fn listen<'a>(&'a self, key: &'a str) -> Listener<'a> {
        match self {
            Self::Redis(tier) => tier.wakes().listen(key),
            Self::Memory(tier) => tier.wakes().listen(key),
        }
    }

    /// Whether nothing is changed in it.
    pub(crate) fn is_read_only(&self) -> bool {
        match self {
            Self::Redis(tier) => tier.is_read_only(),
            Self::Memory(_) => false,
        }
    }

    /// Whether the tier is being asked at present (its breaker is closed).
    #[must_use]
    pub fn is_available(&self) -> bool {
        match self {
            Self::Redis(tier) => tier.is_available(),
            Self::Memory(_) => true,
        }
    }

    /// Shards that are not being asked at present (their breakers are open); before the cluster was
    /// reached for the first time, 1.
    #[must_use]
    pub fn breakers_open(&self) -> usize {
        match self {
            Self::Redis(tier) => tier.breakers_open(),
            Self::Memory(_) => 0,
        }
    }

    /// Each primary's address, as `host:port`, and how many keys it has evicted since this process first
    /// asked it, as of some seconds ago. A node that starts anew goes on where it was.
    #[must_use]
    pub fn evictions(&self) -> Vec<(String, u64)> {
        match self {
            Self::Redis(tier) => tier.evictions(),
            Self::Memory(_) => Vec::new(),
        }
    }

    /// Commands sent to Redis so far, repeated ones included; not those that the process sends without a
    /// request, such as to follow a stream or what nodes say of themselves.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        match self {
            Self::Redis(tier) => tier.round_trips(),
            Self::Memory(_) => 0,
        }
    }
}
