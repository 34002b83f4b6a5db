//! What the primitives of a cache answer.

use std::time::Duration;

use crate::tier::TierError;
use crate::version::Version;

/// Where a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Redis Cluster.
    L2,
}

impl Tier {
    /// The name used in metrics and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L2 => "l2",
        }
    }
}

/// The answer of a lookup.
#[derive(Debug)]
pub enum Lookup<V> {
    /// A tier had the value.
    Hit(Hit<V>),
    /// The origin must be asked.
    Miss(Miss),
}

/// A value that a tier had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit<V> {
    /// The value.
    pub value: V,
    /// Its version.
    pub version: Version,
    /// Where it was found.
    pub tier: Tier,
    /// How long it will be kept, where its namespace has a TTL.
    pub remaining: Option<Duration>,
}

/// Why a lookup found nothing.
#[derive(Debug)]
pub enum Miss {
    /// Never stored, expired or evicted.
    Absent,
    /// A write or a barrier has made it invalid.
    Invalidated,
    /// Something is there that this release cannot read; a fill will replace it.
    Unreadable,
    /// The tier could not be asked.
    Unavailable(TierError),
}

/// The result of a load, and what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded<T> {
    /// What the load returned.
    pub value: T,
    /// How long it took.
    pub cost: Duration,
}

/// What became of a fill.
#[derive(Debug)]
pub enum Fill {
    /// The value is stored.
    Stored,
    /// A newer version or tombstone is there, and stays.
    Rejected,
    /// The value has no encoding: a defect, reported in the log.
    NotEncodable,
    /// The tier could not be asked.
    Unavailable(TierError),
}

/// What became of an invalidation.
#[derive(Debug)]
pub enum Invalidation {
    /// No reader will get anything older.
    Done,
    /// The tier could not be asked: what it holds may be old until its TTL.
    Unavailable(TierError),
}
