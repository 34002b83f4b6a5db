//! Medians with intervals.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 5_000;

/// A median with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The median.
    pub median: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The median; the mean of the middle two for an even number.
///
/// # Panics
///
/// When there are no values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "nothing has no median");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// The median with its percentile-bootstrap interval (B. Efron, *Bootstrap Methods: Another
/// Look at the Jackknife*, 1979).
///
/// # Panics
///
/// When there are no values.
#[must_use]
pub fn bootstrap_median(values: &[f64], seed: u64) -> Interval {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let sample: Vec<f64> =
                values.iter().map(|_| values[random.random_range(0..values.len())]).collect();
            median(&sample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |quantile: f64| medians[(quantile * (RESAMPLES - 1) as f64) as usize];
    Interval { median: median(values), low: at(0.025), high: at(0.975) }
}

/// The difference of two medians, `after` − `before`, with its percentile-bootstrap interval; the
/// two were measured apart, and so are resampled apart.
///
/// # Panics
///
/// When either has no values.
#[must_use]
pub fn bootstrap_difference(before: &[f64], after: &[f64], seed: u64) -> Interval {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut resampled = |values: &[f64]| {
        let sample: Vec<f64> =
            values.iter().map(|_| values[random.random_range(0..values.len())]).collect();
        median(&sample)
    };
    let mut differences: Vec<f64> =
        (0..RESAMPLES).map(|_| resampled(after) - resampled(before)).collect();
    differences.sort_by(f64::total_cmp);
    let at = |quantile: f64| differences[(quantile * (RESAMPLES - 1) as f64) as usize];
    Interval { median: median(after) - median(before), low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_covers_the_true_median_about_as_often_as_it_says() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let covered = (0..200)
            .filter(|seed| {
                let sample: Vec<f64> = (0..15).map(|_| random.random_range(0.0..1.0)).collect();
                let interval = bootstrap_median(&sample, *seed);
                assert!(interval.low <= interval.median && interval.median <= interval.high);
                (interval.low..=interval.high).contains(&0.5)
            })
            .count();
        assert!((175..=200).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn a_difference_is_told_from_noise() {
        let before = [10.0, 11.0, 9.0, 10.5, 9.5];
        let same = bootstrap_difference(&before, &before, 1);
        assert!(same.low < 0.0 && same.high > 0.0 && same.median == 0.0, "{same:?}");
        let after = before.map(|value| value + 5.0);
        let more = bootstrap_difference(&before, &after, 1);
        assert!(more.low > 2.0 && more.high < 8.0 && more.median == 5.0, "{more:?}");
    }

    #[test]
    fn medians_of_few_values() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
    }
}
