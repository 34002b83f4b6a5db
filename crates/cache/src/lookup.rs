//! What a cache answers, and what it is given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::load::Overloaded;
use crate::tag::{Tag, Tags};
use crate::version::Version;

/// Where a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// This process.
    L1,
    /// Redis Cluster.
    L2,
    /// The origin: it was loaded.
    Origin,
}

/// Whether a value has outlived its TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It has not.
    Fresh,
    /// It has, and is kept as a fallback.
    Stale,
}

/// An answer, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup<V> {
    /// The value; `None`: the origin has no such value.
    pub value: Option<V>,
    /// Its version.
    pub version: Version,
    /// Where it was found.
    pub tier: Tier,
    /// Whether it is stale.
    pub freshness: Freshness,
    /// How long ago it was stored, where that is known: L2 tells it where the namespace has
    /// a TTL.
    pub age: Option<Duration>,
    /// How long it stays fresh, where that is known.
    pub remaining: Option<Duration>,
    /// Why no tier had it; `None`: one had.
    pub miss: Option<Miss>,
    /// Whether it was stored on this occasion.
    pub stored: bool,
}

/// Why the tiers had no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// Never stored, expired or evicted.
    Absent,
    /// A write or a barrier has made it invalid, or it is older than the caller asked for.
    Invalidated,
    /// Something is there that has outlived its TTL.
    Stale,
    /// Something is there that this release cannot read; a fill will replace it.
    Unreadable,
    /// L2 could not be asked; the word says why.
    Unavailable(&'static str),
}

/// What the origin answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<V> {
    pub(crate) value: Option<V>,
    pub(crate) version: Version,
    pub(crate) ttl: Option<Duration>,
    pub(crate) tags: Tags,
}

/// Why there is no answer.
#[derive(Clone, Debug, Error)]
pub enum GetError {
    /// The origin failed.
    #[error(transparent)]
    Load(LoadError),
    /// More loads were wanted than the origin is to be asked at once.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The load took too long, and was cancelled.
    #[error("the load took longer than {0:?} and was cancelled")]
    Deadline(Duration),
    /// The load panicked, or its runtime ended: a defect.
    #[error("the load ended without an answer")]
    Aborted,
    /// [`get`](crate::Cache::get) was called on a cache without a source: a defect.
    #[error("this cache has no registered source")]
    NoSource,
}

/// What the origin's failure was, shared by all who waited for the load.
#[derive(Clone, Debug)]
pub struct LoadError(Arc<dyn std::error::Error + Send + Sync>);

/// What became of an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// No reader of L2 will get anything older.
    Done,
    /// L2 could not be asked: what it holds may be old until its TTL; the word says why.
    Unavailable(&'static str),
}

/// What became of a value that a write produced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publication {
    /// It is stored.
    Stored,
    /// Something as new is there, and stays.
    Superseded,
    /// A tombstone stands in its place: a newer value may have been there, and gone.
    Guarded,
    /// L2 could not be asked; the word says why.
    Unavailable(&'static str),
    /// The value has no encoding: a defect, reported in the log.
    NotEncodable,
}

/// What the tiers hold of a key, found out without changing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// In this process.
    pub l1: Option<Held>,
    /// In Redis; `Err`: why it could not be asked.
    pub l2: Result<Option<Held>, &'static str>,
}

/// What one tier holds of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it is.
    pub state: State,
    /// Its version.
    pub version: Version,
    /// Bytes of the payload as stored.
    pub bytes: usize,
    /// How long the tier will keep it.
    pub expires_in: Duration,
    /// Whether it is stale.
    pub freshness: Freshness,
    /// Whether somebody holds a lease on it.
    pub leased: bool,
    /// Its tags, in the versions in which they were read.
    pub tags: Vec<Tag>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A value.
    Value,
    /// That the origin has none.
    Negative,
    /// A mark that everything older is gone.
    Tombstone,
    /// Nothing but a lease.
    Lease,
    /// Something that this release cannot read.
    Unreadable,
}

impl Tier {
    /// The name used in metrics and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::Origin => "origin",
        }
    }
}

impl Miss {
    /// The name used in headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Invalidated => "invalidated",
            Self::Stale => "stale",
            Self::Unreadable => "unreadable",
            Self::Unavailable(why) => why,
        }
    }
}

impl<V> Loaded<V> {
    /// The origin has `value` in `version`.
    #[must_use]
    pub const fn found(version: Version, value: V) -> Self {
        Self { value: Some(value), version, ttl: None, tags: None }
    }

    /// The origin has no such value, which is also the state of things in `version`.
    #[must_use]
    pub const fn absent(version: Version) -> Self {
        Self { value: None, version, ttl: None, tags: None }
    }

    /// Its version and value.
    #[must_use]
    pub fn into_parts(self) -> (Version, Option<V>) {
        (self.version, self.value)
    }

    /// What it depends on besides its key, each in the version of the same snapshot:
    /// [`invalidate_tag`](crate::Cache::invalidate_tag) with a newer one makes it old.
    #[must_use]
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        let tags: Arc<[Tag]> = tags.into_iter().collect();
        self.tags = (!tags.is_empty()).then_some(tags);
        self
    }

    /// For this value in place of the namespace's TTL; zero: it is not stored.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

impl LoadError {
    pub(crate) fn new(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self(error.into())
    }

    /// The origin's own error, if it is an `E`.
    #[must_use]
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.0.downcast_ref()
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for LoadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
