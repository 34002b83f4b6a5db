//! A strategy to compare.

use std::time::Duration;

use serde::Deserialize;

use super::faults::Fault;

const STRATEGIES: [&str; 7] = [
    "none",
    "cache-aside",
    "read-through",
    "write-through",
    "write-behind",
    "refresh-ahead",
    "ttl",
];
const TIERS: [&str; 4] = ["none", "l1", "l2", "l1+l2"];

/// A strategy to compare.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contender {
    /// `none`, `cache-aside`, `read-through`, `write-through`, `write-behind`, `refresh-ahead`, `ttl`.
    pub strategy: String,
    /// `none`, `l1`, `l2`, `l1+l2`.
    pub tiers: String,
    /// Life of an entry in milliseconds; 0: unbounded.
    #[serde(default)]
    pub ttl_ms: u64,
    /// How many milliseconds L1 serves an entry without asking L2.
    #[serde(default = "default_l1_ttl_ms")]
    pub l1_ttl_ms: u64,
    /// Whether the verdict is about it; one of a scenario's strategies at the most, and not the first.
    #[serde(default)]
    pub headline: bool,
}

/// `larder.toml`'s: under a strategy that hears of writes, L1's life is about memory alone.
const fn default_l1_ttl_ms() -> u64 {
    60_000
}

impl Contender {
    /// `cache-aside` in `l2`, without a bound in time.
    #[must_use]
    pub fn cache_aside() -> Self {
        Self::new("cache-aside", "l2")
    }

    /// `read-through` in both tiers, with entries in L1 that outlive any run: every answer is
    /// from there.
    #[must_use]
    pub fn l1() -> Self {
        Self { l1_ttl_ms: 3_600_000, ..Self::new("read-through", "l1+l2") }
    }

    /// `strategy` in `tiers`, without a bound in time.
    #[must_use]
    pub fn new(strategy: &str, tiers: &str) -> Self {
        let (strategy, tiers) = (strategy.to_owned(), tiers.to_owned());
        Self { strategy, tiers, ttl_ms: 0, l1_ttl_ms: default_l1_ttl_ms(), headline: false }
    }

    /// Whether results could not tell it from `other`.
    #[must_use]
    pub fn is_called_as(&self, other: &Self) -> bool {
        (&self.strategy, &self.tiers) == (&other.strategy, &other.tiers)
            && (self.ttl_ms, self.l1_ttl_ms) == (other.ttl_ms, other.l1_ttl_ms)
    }

    /// No cache at all.
    #[must_use]
    pub fn none() -> Self {
        Self::new("none", "none")
    }

    /// Life of an entry; none: unbounded.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        (self.ttl_ms > 0).then(|| Duration::from_millis(self.ttl_ms))
    }

    /// `strategy/tiers`, as `--only` takes it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.strategy, self.tiers)
    }

    /// The same, as somebody named it who is not a scenario file.
    ///
    /// # Errors
    ///
    /// When it cannot be; the message says what can.
    pub fn checked(self) -> anyhow::Result<Self> {
        self.validate().map_err(|Fault { place, must }| {
            let key = place.trim_start_matches("strategies.");
            anyhow::anyhow!("{}: {key} {must}", self.name())
        })?;
        Ok(self)
    }

    pub(super) fn validate(&self) -> Result<(), Fault> {
        let fault =
            |key: &str, must: String| Err(Fault { place: format!("strategies.{key}"), must });
        if !STRATEGIES.contains(&self.strategy.as_str()) {
            let must = format!("must be one of {}, not {:?}", STRATEGIES.join(", "), self.strategy);
            return fault("strategy", must);
        }
        if !TIERS.contains(&self.tiers.as_str()) {
            let must = format!("must be one of {}, not {:?}", TIERS.join(", "), self.tiers);
            return fault("tiers", must);
        }
        if (self.strategy == "none") != (self.tiers == "none") {
            return fault(
                "tiers",
                "must be none for the strategy none, and for no other".to_owned(),
            );
        }
        Ok(())
    }
}
