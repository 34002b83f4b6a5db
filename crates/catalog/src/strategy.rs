//! The strategies by name, and what is set per namespace.

use std::fmt;
use std::str::FromStr;

use larder::{L1Options, NamespaceOptions};
use thiserror::Error;

use crate::refresh_ahead;

/// How reads and writes of a namespace use the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Postgres answers everything.
    None,
    /// The application looks aside into the cache, loads and fills; writes invalidate.
    CacheAside,
    /// The cache loads through its registered source; writes invalidate.
    ReadThrough,
    /// As read-through; writes publish the new value before they are answered.
    WriteThrough,
    /// As read-through; writes are answered when a journal holds them.
    WriteBehind,
    /// As read-through, and reloaded in the background before it goes stale.
    RefreshAhead,
    /// As read-through, but writes leave the cache alone: entries go by their TTL.
    Ttl,
}

/// Which tiers hold entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiers {
    /// None.
    None,
    /// This process.
    L1,
    /// Redis Cluster.
    L2,
    /// Both: this process first.
    L1L2,
}

/// A name that is none of a set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown {what} {name:?}: use {known}")]
pub struct UnknownName {
    what: &'static str,
    name: String,
    known: &'static str,
}

/// What is set per namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceSettings {
    /// How it is used.
    pub strategy: Strategy,
    /// Where entries are.
    pub tiers: Tiers,
    /// The cache's own options; which tiers there are is for `tiers` to say.
    pub options: NamespaceOptions,
    /// What the tier in this process is like, where there is one.
    pub l1: L1Options,
}

impl Strategy {
    /// All strategies.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::CacheAside,
        Self::ReadThrough,
        Self::WriteThrough,
        Self::WriteBehind,
        Self::RefreshAhead,
        Self::Ttl,
    ];

    /// The name used in configuration, metrics and results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::CacheAside => "cache-aside",
            Self::ReadThrough => "read-through",
            Self::WriteThrough => "write-through",
            Self::WriteBehind => "write-behind",
            Self::RefreshAhead => "refresh-ahead",
            Self::Ttl => "ttl",
        }
    }

    /// Whether its entries end because a change is told; under the others no change is.
    #[must_use]
    pub const fn is_told(self) -> bool {
        !matches!(self, Self::None | Self::Ttl)
    }
}

impl Tiers {
    /// All choices of tiers.
    pub const ALL: [Self; 4] = [Self::None, Self::L1, Self::L2, Self::L1L2];

    /// The name used in configuration, metrics and results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::L1L2 => "l1+l2",
        }
    }
}

impl FromStr for Strategy {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == name).ok_or_else(|| {
            UnknownName {
                what: "strategy",
                name: name.to_owned(),
                known: "none, cache-aside, read-through, write-through, write-behind, refresh-ahead or ttl",
            }
        })
    }
}

impl FromStr for Tiers {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = "none, l1, l2 or l1+l2";
        Self::ALL.into_iter().find(|tiers| tiers.as_str() == name).ok_or_else(|| UnknownName {
            what: "tiers",
            name: name.to_owned(),
            known,
        })
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl NamespaceSettings {
    /// The options of the cache that these settings ask for.
    #[must_use]
    pub fn cache_options(&self) -> NamespaceOptions {
        let options = NamespaceOptions {
            l1: matches!(self.tiers, Tiers::L1 | Tiers::L1L2).then(|| self.l1.clone()),
            l2: matches!(self.tiers, Tiers::L2 | Tiers::L1L2),
            // Of a `ttl` entry its TTL makes an end, and whoever invalidates it by name.
            coherent: self.strategy.is_told(),
            ..self.options.clone()
        };
        match self.strategy {
            Strategy::RefreshAhead => refresh_ahead::ahead(options),
            _ => NamespaceOptions { refresh_beta: 0.0, ..options },
        }
    }

    /// What cannot work together, as (field, reason).
    ///
    /// # Errors
    ///
    /// The first combination that cannot.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        match (self.strategy, self.tiers) {
            (Strategy::None, Tiers::None) => {}
            (Strategy::None, _) => {
                let reason = "must be none with strategy none: nothing would use them";
                return Err(("tiers", reason.into()));
            }
            (strategy, Tiers::None) => {
                return Err(("tiers", format!("must not be none with strategy {strategy}")));
            }
            (Strategy::Ttl | Strategy::RefreshAhead, _) if self.options.ttl.is_none() => {
                let reason = match self.strategy {
                    Strategy::Ttl => "must be set with strategy ttl: nothing else ends an entry",
                    _ => "must be set with strategy refresh-ahead: nothing else goes stale",
                };
                return Err(("ttl", reason.into()));
            }
            _ => {}
        }
        let options = self.cache_options();
        options.validate().map_err(|error| (error.option, error.reason.to_owned()))
    }
}
