//! The strategies by name, and what is set per namespace.

use std::fmt;
use std::str::FromStr;

use larder::NamespaceOptions;
use thiserror::Error;

/// How reads and writes of a namespace use the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Postgres answers everything.
    None,
    /// The application looks aside into the cache, loads and fills; writes invalidate.
    CacheAside,
    /// As cache-aside, but writes leave the cache alone: entries go by their TTL.
    Ttl,
}

/// Which tiers hold entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tiers {
    /// None.
    None,
    /// Redis Cluster.
    L2,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceSettings {
    /// How it is used.
    pub strategy: Strategy,
    /// Where entries are.
    pub tiers: Tiers,
    /// The cache's own options.
    pub options: NamespaceOptions,
}

impl Strategy {
    /// The name used in configuration, metrics and results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::CacheAside => "cache-aside",
            Self::Ttl => "ttl",
        }
    }
}

impl Tiers {
    /// The name used in configuration, metrics and results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::L2 => "l2",
        }
    }
}

impl FromStr for Strategy {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let all = [Self::None, Self::CacheAside, Self::Ttl];
        all.into_iter().find(|strategy| strategy.as_str() == name).ok_or_else(|| UnknownName {
            what: "strategy",
            name: name.to_owned(),
            known: "none, cache-aside or ttl",
        })
    }
}

impl FromStr for Tiers {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let known = "none or l2 (an in-process tier is not available in this version)";
        let all = [Self::None, Self::L2];
        all.into_iter().find(|tiers| tiers.as_str() == name).ok_or_else(|| UnknownName {
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
    /// What cannot work together, as (field, reason).
    ///
    /// # Errors
    ///
    /// The first combination that cannot.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        self.options.validate().map_err(|error| (error.option, error.reason.to_owned()))?;
        match (self.strategy, self.tiers) {
            (Strategy::None, Tiers::L2) => {
                Err(("tiers", "must be none with strategy none: nothing would use them".into()))
            }
            (Strategy::CacheAside | Strategy::Ttl, Tiers::None) => {
                Err(("tiers", format!("must not be none with strategy {}", self.strategy)))
            }
            (Strategy::Ttl, _) if self.options.ttl.is_none() => {
                Err(("ttl", "must be set with strategy ttl: nothing else ends an entry".into()))
            }
            _ => Ok(()),
        }
    }
}
