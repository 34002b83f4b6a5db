//! An answer, and where it came from.

use std::time::Duration;

use bytes::Bytes;
use catalog_domain::Revision;
use larder::{Fill, Hit, Miss, Tier};

use crate::rendered::Rendered;

/// A view as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its JSON text.
    pub body: Bytes,
    /// How new it is.
    pub revision: Revision,
    /// Where it came from.
    pub status: CacheStatus,
}

/// What the cache did for an answer: the content of `Cache-Status` (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// Where the answer came from, or why not from the cache.
    pub source: Source,
    /// How long the entry will be kept, where that is known.
    pub ttl: Option<Duration>,
    /// Whether the answer was stored.
    pub stored: bool,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A tier.
    Hit(Tier),
    /// Postgres, because no tier had the value; the word says why.
    Miss(&'static str),
    /// Postgres, because the cache was not asked or could not answer; the word says why.
    Bypass(&'static str),
}

impl Reply {
    pub(crate) fn hit<V>(hit: Hit<Rendered<V>>) -> Self {
        Self {
            body: hit.value.body,
            revision: Revision { epoch: hit.version.epoch, counter: hit.version.counter },
            status: CacheStatus {
                source: Source::Hit(hit.tier),
                ttl: hit.remaining,
                stored: false,
            },
        }
    }

    pub(crate) fn loaded<V>(rendered: Rendered<V>, revision: Revision, source: Source) -> Self {
        let status = CacheStatus { source, ttl: None, stored: false };
        Self { body: rendered.body, revision, status }
    }

    pub(crate) fn after(mut self, fill: &Fill) -> Self {
        self.status.stored = matches!(fill, Fill::Stored);
        self
    }
}

impl Source {
    pub(crate) fn of(miss: &Miss) -> Self {
        match miss {
            Miss::Absent => Self::Miss("absent"),
            Miss::Invalidated => Self::Miss("invalidated"),
            Miss::Unreadable => Self::Miss("unreadable"),
            Miss::Unavailable(error) => Self::Bypass(error.reason()),
        }
    }
}
