//! All metrics of a registry at one moment, as numbers.

use std::collections::HashMap;

use prometheus::Registry;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// All metrics of a registry at one moment, under the names that `/metrics` shows.
#[derive(Debug)]
pub struct Readings(HashMap<String, MetricFamily>);

/// The labels of one series.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a>(&'a [LabelPair]);

/// What histograms hold: observations, cumulated by their upper bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// Upper bound, and how many observations are at most that; ascending.
    bounds: Vec<(f64, u64)>,
    count: u64,
}

impl Readings {
    /// The metrics of `registry` now.
    #[must_use]
    pub fn of(registry: &Registry) -> Self {
        let families = registry.gather().into_iter();
        Self(families.map(|family| (family.name().to_owned(), family)).collect())
    }

    /// The sum over the series of the counter or gauge `name` that are to be kept; 0 where there
    /// is none.
    pub fn sum(&self, name: &str, keep: impl Fn(Labels<'_>) -> bool) -> f64 {
        self.series(name)
            .filter(|(_, series)| keep(Labels(series.get_label())))
            .map(|(kind, series)| match kind {
                MetricType::COUNTER => series.get_counter().get_value(),
                MetricType::GAUGE => series.get_gauge().get_value(),
                MetricType::SUMMARY | MetricType::UNTYPED | MetricType::HISTOGRAM => 0.0,
            })
            .sum()
    }

    /// The values of one label over all series of `name`, each once, in order.
    #[must_use]
    pub fn values(&self, name: &str, label: &str) -> Vec<&str> {
        let values = self.series(name).map(|(_, series)| Labels(series.get_label()).get(label));
        let mut values: Vec<&str> = values.collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    /// The sum over the series of the histogram `name` that are to be kept.
    pub fn histogram(&self, name: &str, keep: impl Fn(Labels<'_>) -> bool) -> Buckets {
        let mut sum = Buckets::default();
        for (_, series) in self.series(name) {
            if keep(Labels(series.get_label())) {
                sum = sum.with(&Buckets::of(series));
            }
        }
        sum
    }

    fn series(&self, name: &str) -> impl Iterator<Item = (MetricType, &Metric)> {
        self.0.get(name).into_iter().flat_map(|family| {
            family.get_metric().iter().map(|series| (family.get_field_type(), series))
        })
    }
}

impl<'a> Labels<'a> {
    /// The value of the label `name`; empty where there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &'a str {
        let found = self.0.iter().find(|label| label.name() == name);
        found.map_or("", |label| label.value())
    }
}

impl Buckets {
    /// All observations.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Observations that are at most `bound`, which is one of the histogram's.
    #[must_use]
    pub fn at_most(&self, bound: f64) -> u64 {
        self.bounds.iter().find(|(own, _)| *own == bound).map_or(0, |(_, count)| *count)
    }

    /// What was observed after `earlier`, which are the same series at an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let bounds = self.bounds.iter();
        Self {
            bounds: bounds
                .map(|(bound, count)| (*bound, count.saturating_sub(earlier.at_most(*bound))))
                .collect(),
            count: self.count.saturating_sub(earlier.count),
        }
    }

    /// The value that the part `q` (0 to 1) of the observations does not exceed, interpolated within
    /// its bucket as Prometheus's `histogram_quantile` does; the highest bound for what lies above
    /// it. `None` where nothing was observed.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = q * self.count as f64;
        let (mut below, mut lower) = (0, 0.0);
        for (bound, count) in self.bounds.iter().filter(|(bound, _)| bound.is_finite()) {
            if *count as f64 >= rank && *count > below {
                let part = (rank - below as f64) / (count - below) as f64;
                return Some(lower + (bound - lower) * part.max(0.0));
            }
            (below, lower) = (*count, *bound);
        }
        Some(lower)
    }

    /// What both hold. Where a bound is one's alone, of the other's observations those are at most that
    /// of which it is certain.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let all = self.bounds.iter().chain(&other.bounds).map(|(bound, _)| *bound);
        let mut all: Vec<f64> = all.collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        let both = |bound| self.certainly(bound) + other.certainly(bound);
        Self {
            bounds: all.into_iter().map(|bound| (bound, both(bound))).collect(),
            count: self.count + other.count,
        }
    }

    /// Its finite upper bounds, ascending, with how many observations are at most that, to be written
    /// down beside the [`count`](Self::count).
    #[must_use]
    pub fn finite(&self) -> Vec<(f64, u64)> {
        self.bounds.iter().filter(|(bound, _)| bound.is_finite()).copied().collect()
    }

    /// Those that were written down so; `None` where they do not ascend, or are more than `count`.
    #[must_use]
    pub fn from_finite(bounds: Vec<(f64, u64)>, count: u64) -> Option<Self> {
        let ascends = bounds.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1);
        let within = bounds.last().is_none_or(|(_, most)| *most <= count);
        (ascends && within).then_some(Self { bounds, count })
    }

    /// Observations of which a bound says that they are at most `bound`.
    fn certainly(&self, bound: f64) -> u64 {
        let above = self.bounds.partition_point(|(own, _)| *own <= bound);
        above.checked_sub(1).map_or(0, |last| self.bounds[last].1)
    }

    fn of(series: &Metric) -> Self {
        let histogram = series.get_histogram();
        let buckets = histogram.get_bucket().iter();
        Self {
            bounds: buckets.map(|one| (one.upper_bound(), one.cumulative_count())).collect(),
            count: histogram.get_sample_count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts};

    use super::*;

    fn registry() -> (Registry, HistogramVec) {
        let registry = Registry::new();
        let queries = IntCounterVec::new(Opts::new("queries", "q"), &["purpose", "outcome"]);
        let queries = queries.expect("a valid name");
        queries.with_label_values(&["load", "completed"]).inc_by(5);
        queries.with_label_values(&["load", "failed"]).inc_by(2);
        queries.with_label_values(&["feed", "completed"]).inc_by(90);
        let depth = IntGauge::new("depth", "d").expect("a valid name");
        depth.set(7);
        let options = HistogramOpts::new("seconds", "s").buckets(vec![0.1, 1.0, 10.0]);
        let seconds = HistogramVec::new(options, &["route"]).expect("a valid name");
        registry.register(Box::new(queries)).expect("is new");
        registry.register(Box::new(depth)).expect("is new");
        registry.register(Box::new(seconds.clone())).expect("is new");
        (registry, seconds)
    }

    #[test]
    fn counters_and_gauges_are_summed_by_their_labels() {
        let readings = Readings::of(&registry().0);
        assert_eq!(readings.sum("queries", |of| of.get("purpose") != "feed"), 7.0);
        assert_eq!(readings.sum("queries", |of| of.get("outcome") == "completed"), 95.0);
        assert_eq!(readings.sum("depth", |_| true), 7.0);
        assert_eq!(readings.sum("nothing", |_| true), 0.0);
        assert_eq!(readings.values("queries", "purpose"), ["feed", "load"]);
    }

    #[test]
    fn quantiles_are_those_of_what_came_since() {
        let (registry, seconds) = registry();
        let all = |registry: &Registry| Readings::of(registry).histogram("seconds", |_| true);
        assert_eq!(all(&registry).quantile(0.5), None);
        for _ in 0..100 {
            seconds.with_label_values(&["old"]).observe(9.0);
        }
        let before = all(&registry);
        assert!(before.quantile(0.5).is_some_and(|median| median > 1.0));
        for value in [0.05, 0.05, 0.5, 0.5] {
            seconds.with_label_values(&["new"]).observe(value);
        }
        let since = all(&registry).since(&before);
        assert_eq!((since.count(), since.at_most(0.1)), (4, 2));
        assert_eq!(since.quantile(0.5), Some(0.1));
        assert_eq!(since.quantile(0.75), Some(0.55));
        assert_eq!(since.quantile(1.0), Some(1.0));
    }

    #[test]
    fn what_was_written_down_is_read_again_and_added() {
        let (registry, seconds) = registry();
        for value in [0.05, 0.5, 5.0, 50.0] {
            seconds.with_label_values(&["one"]).observe(value);
        }
        let own = Readings::of(&registry).histogram("seconds", |_| true);
        let again = Buckets::from_finite(own.finite(), own.count()).expect("they ascend");
        assert_eq!(again.finite(), [(0.1, 1), (1.0, 2), (10.0, 3)]);
        let twice = own.with(&again);
        assert_eq!((twice.count(), twice.at_most(1.0)), (8, 4));
        assert_eq!(twice.quantile(0.5), own.quantile(0.5));
        assert_eq!(own.with(&Buckets::default()), own);
        // Another release has other bounds: what is not certain is not counted.
        let other = Buckets::from_finite(vec![(0.5, 4), (20.0, 9)], 10).expect("they ascend");
        let both = own.with(&other);
        assert_eq!(
            [0.1, 0.5, 1.0, 10.0, 20.0].map(|bound| both.at_most(bound)),
            [1, 1 + 4, 2 + 4, 3 + 4, 3 + 9]
        );
        assert_eq!(both.count(), 14);
        for wrong in [vec![(1.0, 5), (0.5, 6)], vec![(0.5, 6), (1.0, 5)], vec![(0.5, 11)]] {
            assert_eq!(Buckets::from_finite(wrong, 10), None);
        }
        assert_eq!(Buckets::from_finite(vec![(f64::NAN, 1), (1.0, 2)], 10), None);
    }

    #[test]
    fn what_is_above_the_highest_bound_counts_as_that() {
        let (registry, seconds) = registry();
        seconds.with_label_values(&["slow"]).observe(1_000.0);
        let found = Readings::of(&registry).histogram("seconds", |of| of.get("route") == "slow");
        assert_eq!(found.quantile(0.99), Some(10.0));
    }
}
