//! An answer, and where it came from.

use std::time::Duration;

use bytes::Bytes;
use catalog_domain::Revision;
use larder::{Freshness, Loaded, Lookup, Miss, Tier, Version};

use crate::rendered::{CachedView, Rendered};

/// A view as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its JSON text; `None`: there is no such product.
    pub body: Option<Bytes>,
    /// How new it is.
    pub revision: Revision,
    /// Where writes were laid over it that have no revision yet, what tells this body from others of
    /// the same revision.
    pub overlaid: Option<u64>,
    /// Where it came from.
    pub status: CacheStatus,
}

/// What the cache did for an answer: the content of `Cache-Status` (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// Where the answer came from, or why not from the cache.
    pub source: Source,
    /// How long the entry stays fresh, where that is known.
    pub ttl: Option<Duration>,
    /// Whether the answer was stored.
    pub stored: bool,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A tier.
    Hit(Tier),
    /// A tier, past its TTL: Postgres failed or is slow, or is being asked meanwhile.
    Stale(Tier),
    /// Postgres, because no tier had the value; the word says why.
    Miss(&'static str),
    /// Postgres, because the cache was not asked or could not answer; the word says why.
    Bypass(&'static str),
}

impl Reply {
    pub(crate) fn of<V: CachedView>(lookup: Lookup<Rendered<V>>) -> Self {
        let source = match (lookup.miss, lookup.freshness) {
            (Some(Miss::Unavailable(why)), _) => Source::Bypass(why),
            (Some(miss), _) => Source::Miss(miss.as_str()),
            (None, Freshness::Fresh) => Source::Hit(lookup.tier),
            (None, Freshness::Stale) => Source::Stale(lookup.tier),
        };
        // Of what was just loaded, the TTL is the namespace's; it is not repeated.
        let ttl = lookup.remaining.filter(|_| matches!(source, Source::Hit(_)));
        Self {
            body: lookup.value.map(|rendered| rendered.body),
            revision: revision(lookup.version),
            overlaid: None,
            status: CacheStatus { source, ttl, stored: lookup.stored && lookup.miss.is_some() },
        }
    }

    pub(crate) fn bypassing<V: CachedView>(loaded: Loaded<Rendered<V>>) -> Self {
        let (version, value) = loaded.into_parts();
        let source = Source::Bypass("strategy-none");
        Self {
            body: value.map(|rendered| rendered.body),
            revision: revision(version),
            overlaid: None,
            status: CacheStatus { source, ttl: None, stored: false },
        }
    }
}

fn revision(version: Version) -> Revision {
    Revision { epoch: version.epoch, counter: version.counter }
}
