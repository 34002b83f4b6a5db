//! The second tier: where processes share entries.

mod memory;
mod redis;

use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

pub use self::memory::MemoryTier;
pub use self::redis::RedisTier;
use crate::version::Version;

/// What a store of a value or tombstone led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is stored.
    Stored,
    /// A newer version was there, and stays.
    Newer,
}

/// Stored bytes, and how long Redis will keep them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    /// Present where it was asked for.
    pub(crate) remaining: Option<Duration>,
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
            Self::Redis(_) => "redis-error",
        }
    }
}

/// The tier that a cache was built on: Redis Cluster, or its in-memory twin for tests.
///
/// Both keep the same contract, held by one suite of tests:
/// - `read` returns what was stored last and has not expired;
/// - `fill` never puts an older version over a newer one, nor over a newer tombstone;
/// - `invalidate` leaves a tombstone unless a value of that version or a newer one is there;
/// - each can be repeated without changing the outcome.
#[derive(Debug)]
pub enum L2 {
    /// Redis Cluster.
    Redis(RedisTier),
    /// This process's memory.
    Memory(MemoryTier),
}

impl L2 {
    pub(crate) async fn read(&self, key: &str, life: bool) -> Result<Option<Held>, TierError> {
        match self {
            Self::Redis(tier) => tier.read(key, life).await,
            Self::Memory(tier) => Ok(tier.read(key, life)),
        }
    }

    /// Stores `entry`, whose version is `version`, for `ttl`.
    pub(crate) async fn fill(
        &self,
        key: &str,
        entry: Bytes,
        version: Version,
        ttl: Duration,
    ) -> Result<Verdict, TierError> {
        match self {
            Self::Redis(tier) => tier.fill(key, &entry, version, ttl).await,
            Self::Memory(tier) => Ok(tier.fill(key, entry, version, ttl)),
        }
    }

    /// Stores `tombstone`, whose version is `version`, for `ttl`.
    pub(crate) async fn invalidate(
        &self,
        key: &str,
        tombstone: Bytes,
        version: Version,
        ttl: Duration,
    ) -> Result<Verdict, TierError> {
        match self {
            Self::Redis(tier) => tier.invalidate(key, &tombstone, version, ttl).await,
            Self::Memory(tier) => Ok(tier.invalidate(key, tombstone, version, ttl)),
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

    /// Commands sent to Redis so far, repeated ones included.
    #[must_use]
    pub fn round_trips(&self) -> u64 {
        match self {
            Self::Redis(tier) => tier.round_trips(),
            Self::Memory(_) => 0,
        }
    }
}
