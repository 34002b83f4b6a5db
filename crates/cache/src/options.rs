//! What can be set per namespace, and per call.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::version::Version;

/// The life of an entry whose namespace sets none.
///
/// Every entry has one: Redis evicts only keys with an expiry (`volatile-*`), and what
/// nobody asks for should not stay for ever.
pub const UNBOUNDED_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Options of a namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceOptions {
    /// How long a value is fresh; `None`: as long as nothing invalidates it, at most
    /// [`UNBOUNDED_TTL`] after its load.
    pub ttl: Option<Duration>,
    /// How long a value is kept after that, stale, for when the origin fails or is slow: the
    /// fail-safe window.
    pub stale_for: Duration,
    /// The part of the TTL, from 0 to 0.9, that is taken off at random, so that what was
    /// filled together does not expire together.
    pub jitter: f64,
    /// How long "the origin has no such value" is kept; zero: it is not.
    pub negative_ttl: Duration,
    /// Whether a hit in L2 renews the entry's life.
    pub sliding: bool,
    /// Whether a stale value is served at once, and reloaded in the background.
    pub stale_while_revalidate: bool,
    /// Whether a stale value is served when the load fails.
    pub stale_on_error: bool,
    /// How long a caller who could have a stale value waits for the load; `None`: until it
    /// ends. The load goes on and fills.
    pub soft_timeout: Option<Duration>,
    /// How long after a failed load a stale value is served without another try.
    pub error_backoff: Duration,
    /// The `beta` of XFetch: how eagerly a value is reloaded in the background before it goes
    /// stale; 0: never, 1: as the paper finds best.
    pub refresh_beta: f64,
    /// After so long a load is cancelled. Too low: slow queries never fill; too high: a hung
    /// one holds its turn.
    pub load_deadline: Duration,
    /// Of those who want to load one key at the same time, who does.
    pub coalesce: Coalesce,
    /// Life of a lease, which its holder renews: a holder that died is replaced after it.
    pub lease: Duration,
    /// How long a tombstone is kept. It must outlive the longest load, or a load that began
    /// before a write could store what it read.
    pub tombstone_ttl: Duration,
    /// Loads of this namespace at the same time, in this process. Too low: misses wait for
    /// one another; too high: Postgres is not protected when the cache is gone.
    pub max_concurrent_loads: usize,
    /// How long a load may wait for its turn before it is shed.
    pub load_wait: Duration,
    /// Payloads of this many bytes or more are compressed with LZ4 in L2; `None`: never.
    pub compress_above: Option<usize>,
    /// The tier in this process, if there is to be one.
    pub l1: Option<L1Options>,
    /// Whether the tier in Redis is used.
    pub l2: bool,
    /// Whether changes made elsewhere are followed, where the cache takes part in
    /// [`Coherence`](crate::Coherence); without, entries go by their TTL, and end sooner only where
    /// somebody invalidates them by name.
    pub coherent: bool,
    /// Entries of an older epoch are misses: what was stored under another strategy, or
    /// before the namespace was cleared.
    pub floor_epoch: u32,
}

/// Of those who want to load one key at the same time, who does. Whatever is chosen, only who holds
/// the key's lease fills L2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coalesce {
    /// Everybody, as if nobody knew of the others: it shows what the other two save.
    Request,
    /// One in each process. A load that is quicker than to be told of another process's is not
    /// waited for.
    Process,
    /// One in all processes.
    Cluster,
}

/// A name that says nothing of who loads.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown way to share loads {0:?}: use request, process or cluster")]
pub struct UnknownCoalesce(String);

/// The tier in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Options {
    /// Bytes of keys, values and what holds them, at most.
    pub capacity: usize,
    /// What goes first when it is full.
    pub eviction: Eviction,
    /// How long an entry is served from here before L2 is asked again.
    ///
    /// Without [`Coherence`](crate::Coherence) it bounds how long this process can miss a change
    /// that another one made.
    pub ttl: Duration,
}

/// What goes first when L1 is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// What was used longest ago.
    Lru,
    /// Three queues; what was asked for once goes soon. J. Yang, Y. Zhang, Z. Qiu, Y. Yue,
    /// K. V. Rashmi, *FIFO queues are all you need for cache eviction*, SOSP 2023.
    S3Fifo,
    /// By estimated frequency. G. Einziger, R. Friedman, B. Manes, *TinyLFU: A Highly
    /// Efficient Cache Admission Policy*, ACM ToS 2017.
    WTinyLfu,
    /// One queue and a hand. Y. Zhang, J. Yang, Y. Yue, Y. Vigfusson, K. V. Rashmi, *SIEVE is
    /// Simpler than LRU*, NSDI 2024.
    Sieve,
    /// What was stored longest ago.
    Fifo,
}

/// A name that is no eviction policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown eviction policy {0:?}: use lru, s3-fifo, w-tinylfu, sieve or fifo")]
pub struct UnknownEviction(String);

/// What one call wants otherwise than its namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Nothing older than this is an answer: what a writer was told after its write.
    pub min_version: Version,
    /// In place of [`NamespaceOptions::soft_timeout`].
    pub soft_timeout: Option<Duration>,
    /// In place of [`NamespaceOptions::stale_while_revalidate`].
    pub stale_while_revalidate: Option<bool>,
    /// Never a stale value: rather an error.
    pub only_fresh: bool,
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
    /// L2 alone; no TTL, 5 % jitter where one is set, absences kept for 10 s, no stale values;
    /// loads of 5 s at most, 16 at a time, 1 s of waiting for a turn, one for a key in all
    /// processes; leases of 1 s, tombstones for a minute; no compression.
    fn default() -> Self {
        Self {
            ttl: None,
            stale_for: Duration::ZERO,
            jitter: 0.05,
            negative_ttl: Duration::from_secs(10),
            sliding: false,
            stale_while_revalidate: false,
            stale_on_error: true,
            soft_timeout: None,
            error_backoff: Duration::from_secs(1),
            refresh_beta: 0.0,
            load_deadline: Duration::from_secs(5),
            coalesce: Coalesce::Cluster,
            lease: Duration::from_secs(1),
            tombstone_ttl: Duration::from_secs(60),
            max_concurrent_loads: 16,
            load_wait: Duration::from_secs(1),
            compress_above: None,
            l1: None,
            l2: true,
            coherent: true,
            floor_epoch: 0,
        }
    }
}

impl Coalesce {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Request, Self::Process, Self::Cluster];

    /// The name used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Process => "process",
            Self::Cluster => "cluster",
        }
    }
}

impl FromStr for Coalesce {
    type Err = UnknownCoalesce;

    fn from_str(name: &str) -> Result<Self, UnknownCoalesce> {
        let found = Self::ALL.into_iter().find(|way| way.as_str() == name);
        found.ok_or_else(|| UnknownCoalesce(name.to_owned()))
    }
}

impl L1Options {
    /// The smallest capacity, in bytes: eight shards of a few entries.
    pub const SMALLEST: usize = 1 << 16;
}

impl Default for L1Options {
    /// 64 MiB, S3-FIFO, 1 s.
    fn default() -> Self {
        Self { capacity: 64 << 20, eviction: Eviction::S3Fifo, ttl: Duration::from_secs(1) }
    }
}

impl Eviction {
    /// All policies.
    pub const ALL: [Self; 5] = [Self::Lru, Self::S3Fifo, Self::WTinyLfu, Self::Sieve, Self::Fifo];

    /// The name used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lru => "lru",
            Self::S3Fifo => "s3-fifo",
            Self::WTinyLfu => "w-tinylfu",
            Self::Sieve => "sieve",
            Self::Fifo => "fifo",
        }
    }
}

impl fmt::Display for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Eviction {
    type Err = UnknownEviction;

    fn from_str(name: &str) -> Result<Self, UnknownEviction> {
        let found = Self::ALL.into_iter().find(|policy| policy.as_str() == name);
        found.ok_or_else(|| UnknownEviction(name.to_owned()))
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
        for (option, value) in [
            ("ttl", self.ttl.unwrap_or(UNBOUNDED_TTL)),
            ("tombstone_ttl", self.tombstone_ttl),
            ("load_deadline", self.load_deadline),
            ("lease", self.lease),
        ] {
            if value.as_millis() == 0 {
                return refuse(option, "must be at least 1 ms");
            }
        }
        if self.ttl.unwrap_or_default().saturating_add(self.stale_for) > UNBOUNDED_TTL {
            return refuse("ttl", "with stale_for, must be at most 30 days");
        }
        if self.ttl.is_none() && !self.stale_for.is_zero() {
            return refuse("stale_for", "needs a ttl: without one nothing goes stale");
        }
        if !(0.0..=0.9).contains(&self.jitter) {
            return refuse("jitter", "must be from 0 to 0.9");
        }
        if !(0.0..=100.0).contains(&self.refresh_beta) {
            return refuse("refresh_beta", "must be from 0 to 100");
        }
        if self.refresh_beta > 0.0 && self.ttl.is_none() {
            return refuse("refresh_beta", "needs a ttl: without one nothing expires");
        }
        if self.sliding && self.ttl.is_none() {
            return refuse("sliding", "needs a ttl: without one nothing expires");
        }
        if self.negative_ttl > UNBOUNDED_TTL {
            return refuse("negative_ttl", "must be at most 30 days");
        }
        if self.tombstone_ttl <= self.load_deadline {
            return refuse("tombstone_ttl", "must be longer than load_deadline");
        }
        if self.max_concurrent_loads == 0 {
            return refuse("max_concurrent_loads", "must be at least 1");
        }
        if let Some(l1) = &self.l1 {
            if l1.capacity < L1Options::SMALLEST {
                return refuse("l1.capacity", "must be at least 65536 bytes");
            }
            if l1.ttl.as_millis() == 0 {
                return refuse("l1.ttl", "must be at least 1 ms");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_named() {
        let good = NamespaceOptions::default;
        let second = Duration::from_secs(1);
        let l1 = |l1| NamespaceOptions { l1: Some(l1), ..good() };
        let cases = [
            ("ttl", NamespaceOptions { ttl: Some(Duration::ZERO), ..good() }),
            ("ttl", NamespaceOptions { ttl: Some(UNBOUNDED_TTL * 2), ..good() }),
            ("stale_for", NamespaceOptions { stale_for: second, ..good() }),
            ("jitter", NamespaceOptions { jitter: 1.0, ..good() }),
            ("jitter", NamespaceOptions { jitter: f64::NAN, ..good() }),
            ("refresh_beta", NamespaceOptions { refresh_beta: 1.0, ..good() }),
            ("refresh_beta", NamespaceOptions { refresh_beta: -1.0, ..good() }),
            ("sliding", NamespaceOptions { sliding: true, ..good() }),
            ("tombstone_ttl", NamespaceOptions { tombstone_ttl: second, ..good() }),
            ("load_deadline", NamespaceOptions { load_deadline: Duration::ZERO, ..good() }),
            ("lease", NamespaceOptions { lease: Duration::ZERO, ..good() }),
            ("max_concurrent_loads", NamespaceOptions { max_concurrent_loads: 0, ..good() }),
            ("l1.capacity", l1(L1Options { capacity: 1, ..L1Options::default() })),
            ("l1.ttl", l1(L1Options { ttl: Duration::ZERO, ..L1Options::default() })),
        ];
        assert_eq!(good().validate(), Ok(()));
        assert_eq!(l1(L1Options::default()).validate(), Ok(()));
        for (option, options) in cases {
            let error = options.validate().expect_err(option);
            assert_eq!(error.option, option, "{error}");
        }
    }

    #[test]
    fn ways_to_share_loads_have_names() {
        for way in Coalesce::ALL {
            assert_eq!(way.as_str().parse(), Ok(way));
        }
        let message = "cluser".parse::<Coalesce>().expect_err("no way").to_string();
        assert!(message.contains("\"cluser\"") && message.contains("cluster"), "{message}");
    }

    #[test]
    fn policies_have_names() {
        for policy in Eviction::ALL {
            assert_eq!(policy.as_str().parse(), Ok(policy));
        }
        assert!("mru".parse::<Eviction>().expect_err("unknown").to_string().contains("sieve"));
    }
}
