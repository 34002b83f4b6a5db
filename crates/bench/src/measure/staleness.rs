//! How old sampled answers were: the service's histogram `larder.staleness`.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The histogram's name in Prometheus's spelling, before `_bucket`.
const NAME: &str = "larder_staleness";

/// Sampled answers by their age, over all namespaces and tiers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Staleness {
    /// Upper ends in seconds, ascending (the last is infinite), and how many answers are at or
    /// below each.
    buckets: Vec<(f64, u64)>,
}

/// Age of sampled answers, in milliseconds; none: nothing was sampled. The service counts ages in
/// buckets, and each figure is the upper end of its bucket: the age is that at the most. Of answers beyond
/// the last finite bucket nothing is known but that: their figure is where it ends, and their age is that
/// at the least. `beyond` says how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StalenessMs {
    /// Half of the sampled answers were not older; 0: they were right.
    pub p50: Option<f64>,
    /// 99 of 100.
    pub p99: Option<f64>,
    /// All.
    pub max: Option<f64>,
    /// Answers that were older than the last finite bucket.
    #[serde(default)]
    pub beyond: u64,
}

impl StalenessMs {
    /// Of answers that nothing is kept for.
    #[must_use]
    pub const fn fresh() -> Self {
        Self { p50: Some(0.0), p99: Some(0.0), max: Some(0.0), beyond: 0 }
    }
}

impl Staleness {
    /// Out of what `/metrics` shows.
    ///
    /// # Errors
    ///
    /// When a line of the histogram cannot be read.
    pub fn parse(metrics: &str) -> Result<Self> {
        let mut all = Self::default();
        for line in metrics.lines().filter(|line| line.starts_with(NAME)) {
            let Some((labels, count)) = line.rsplit_once(' ') else { continue };
            let Some((_, end)) = labels.split_once("le=\"") else { continue };
            let end = end.split('"').next().unwrap_or_default();
            let what = || format!("/metrics: {line}");
            let end: f64 =
                if end == "+Inf" { f64::INFINITY } else { end.parse().with_context(what)? };
            let count: f64 = count.parse().with_context(what)?;
            all = all.combine(&Self { buckets: vec![(end, count as u64)] }, &|a, b| a + b);
        }
        Ok(all)
    }

    pub(super) fn combine(&self, other: &Self, with: &impl Fn(u64, u64) -> u64) -> Self {
        let mut ends: Vec<f64> = self.buckets.iter().chain(&other.buckets).map(|b| b.0).collect();
        ends.sort_by(f64::total_cmp);
        ends.dedup();
        let at = |of: &Self, end: f64| of.buckets.iter().find(|b| b.0 == end).map_or(0, |b| b.1);
        let buckets =
            ends.into_iter().map(|end| (end, with(at(self, end), at(other, end)))).collect();
        Self { buckets }
    }

    /// Answers that were compared with the origin.
    #[must_use]
    pub fn sampled(&self) -> u64 {
        self.buckets.last().map_or(0, |bucket| bucket.1)
    }

    /// Of those, the ones that were wrong.
    #[must_use]
    pub fn stale(&self) -> u64 {
        // The first bucket ends at zero.
        self.sampled() - self.buckets.first().map_or(0, |bucket| bucket.1)
    }

    /// The figures.
    #[must_use]
    pub fn millis(&self) -> StalenessMs {
        let sampled = self.sampled();
        let last = self.buckets.iter().rev().find(|bucket| bucket.0.is_finite());
        let at = |quantile: f64| {
            let rank = (quantile * sampled as f64).ceil() as u64;
            let bucket = self.buckets.iter().find(|bucket| bucket.1 >= rank)?;
            let end = if bucket.0.is_finite() { bucket.0 } else { last?.0 };
            (sampled > 0).then_some(end * 1_000.0)
        };
        let beyond = last.map_or(0, |last| sampled - last.1);
        StalenessMs { p50: at(0.5), p99: at(0.99), max: at(1.0), beyond }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = r#"
# TYPE larder_staleness_seconds histogram
larder_staleness_seconds_bucket{larder_namespace="product-page",larder_tier="l1",le="0"} 97
larder_staleness_seconds_bucket{larder_namespace="product-page",larder_tier="l1",le="0.005"} 98
larder_staleness_seconds_bucket{larder_namespace="product-page",larder_tier="l1",le="+Inf"} 98
larder_staleness_seconds_sum{larder_namespace="product-page",larder_tier="l1"} 0.1
larder_staleness_seconds_bucket{larder_namespace="product-page",larder_tier="l2",le="0"} 1
larder_staleness_seconds_bucket{larder_namespace="product-page",larder_tier="l2",le="0.005"} 2
larder_staleness_seconds_bucket{larder_namespace="product-page",larder_tier="l2",le="+Inf"} 2
larder_cache_lookups_total{le="7"} 5
"#;

    #[test]
    fn ages_are_the_upper_ends_of_buckets_over_all_tiers() {
        let seen = Staleness::parse(SHOWN).expect("reads");
        assert_eq!((seen.sampled(), seen.stale()), (100, 2));
        let wanted = StalenessMs { p50: Some(0.0), p99: Some(5.0), max: Some(5.0), beyond: 0 };
        assert_eq!(seen.millis(), wanted);
        let older = SHOWN.replace("le=\"+Inf\"} 98", "le=\"+Inf\"} 101");
        let older = Staleness::parse(&older).expect("reads").millis();
        assert_eq!((older.p99, older.max, older.beyond), (Some(5.0), Some(5.0), 3));
        let none = seen.combine(&seen, &|a, b| a - b);
        assert_eq!((none.sampled(), none.millis()), (0, StalenessMs::default()));
        assert!(Staleness::parse("larder_staleness_seconds_bucket{le=\"x\"} 1").is_err());
    }
}
