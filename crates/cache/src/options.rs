//! What can be set per namespace.

use std::time::Duration;

use thiserror::Error;

/// The life of an entry whose namespace sets none.
///
/// Every entry has one: Redis evicts only keys with an expiry (`volatile-*`), and what
/// nobody asks for should not stay for ever.
pub const UNBOUNDED_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Options of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceOptions {
    /// How long a value is kept; `None`: as long as it is asked for, at most
    /// [`UNBOUNDED_TTL`] after its load.
    pub ttl: Option<Duration>,
    /// How long a tombstone is kept. It must outlive the longest load, or a load that began
    /// before a write could store what it read.
    pub tombstone_ttl: Duration,
    /// Loads of this namespace at the same time, in this process. Too low: misses wait for
    /// one another; too high: Postgres is not protected when the cache is gone.
    pub max_concurrent_loads: usize,
    /// How long a load may wait for its turn before it is shed.
    pub load_wait: Duration,
    /// Entries of an older epoch are misses: what was stored under another strategy, or
    /// before the namespace was cleared.
    pub floor_epoch: u32,
}

/// An option that cannot work.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{option}: {reason}")]
pub struct OptionError {
    /// The field of [`NamespaceOptions`].
    pub option: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Default for NamespaceOptions {
    /// No TTL, tombstones for a minute, 16 loads at a time, 1 s of waiting, every epoch.
    fn default() -> Self {
        Self {
            ttl: None,
            tombstone_ttl: Duration::from_secs(60),
            max_concurrent_loads: 16,
            load_wait: Duration::from_secs(1),
            floor_epoch: 0,
        }
    }
}

impl NamespaceOptions {
    /// Refuses what cannot work.
    ///
    /// # Errors
    ///
    /// Names the first option that cannot.
    pub fn validate(&self) -> Result<(), OptionError> {
        let refuse = |option, reason| Err(OptionError { option, reason });
        if self.ttl.is_some_and(|ttl| ttl.as_millis() == 0) {
            return refuse("ttl", "must be at least 1 ms");
        }
        if self.ttl.is_some_and(|ttl| ttl > UNBOUNDED_TTL) {
            return refuse("ttl", "must be at most 30 days");
        }
        if self.tombstone_ttl.as_millis() == 0 {
            return refuse("tombstone_ttl", "must be at least 1 ms");
        }
        if self.max_concurrent_loads == 0 {
            return refuse("max_concurrent_loads", "must be at least 1");
        }
        Ok(())
    }
}
