//! Medians with intervals.

use serde::{Deserialize, Serialize};

/// How often an interval is to hold the true value, at the least, where there are enough values.
const CONFIDENCE: f64 = 0.95;

/// A median with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The median.
    pub median: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How often such an interval holds the true value, at the least: 0.95 or more where there are enough
    /// values for that, which are six for a median.
    pub coverage: f64,
}

impl Interval {
    /// Its coverage for people, rounded down.
    #[must_use]
    pub fn confidence(&self) -> String {
        format!("{:.1} %", (self.coverage * 1e3).floor() / 10.0)
    }
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

/// The median with its interval between order statistics (H. A. David and H. N. Nagaraja, *Order
/// Statistics*, 7.1), whatever the values' distribution: the narrowest that holds the true median with
/// 95 %, or all values where they are too few.
///
/// # Panics
///
/// When there are no values.
#[must_use]
pub fn median_interval(values: &[f64]) -> Interval {
    let median = median(values);
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (left_out, coverage) = order_statistics(sorted.len());
    let (low, high) = (sorted[left_out], sorted[sorted.len() - 1 - left_out]);
    Interval { median, low, high, coverage }
}

/// How many of `count` values lie below the interval and as many above it, and how often it holds the
/// true median: 1 − 2 · P(Binomial(count, ½) ≤ left out).
fn order_statistics(count: usize) -> (usize, f64) {
    // That exactly `left_out` values are below the true median.
    let mut exactly = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let (mut left_out, mut outside) = (0, exactly);
    while left_out + 1 < count.div_ceil(2) {
        exactly *= (count - left_out) as f64 / (left_out + 1) as f64;
        if 1.0 - 2.0 * (outside + exactly) < CONFIDENCE {
            break;
        }
        outside += exactly;
        left_out += 1;
    }
    (left_out, 1.0 - 2.0 * outside)
}

/// The difference of two medians, `after` − `before`, which were measured apart: from the least that
/// their intervals allow to the most. It holds the true difference where both hold their medians.
///
/// # Panics
///
/// When either has no values.
#[must_use]
pub fn difference_interval(before: &[f64], after: &[f64]) -> Interval {
    let (before, after) = (median_interval(before), median_interval(after));
    Interval {
        median: after.median - before.median,
        low: after.low - before.high,
        high: after.high - before.low,
        coverage: (before.coverage + after.coverage - 1.0).max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_coverage_is_that_of_the_binomial_law() {
        let cases = [
            (1, 0, 0.0),
            (3, 0, 0.75),
            (5, 0, 0.9375),
            (6, 0, 0.968_75),
            (7, 0, 0.984_375),
            (9, 1, 0.960_937_5),
            (12, 2, 0.961_425_781_25),
        ];
        for (count, left_out, coverage) in cases {
            assert_eq!(order_statistics(count), (left_out, coverage), "{count}");
        }
        // Enough for what is printed as 95 %, from six on.
        assert!((6..200).all(|count| order_statistics(count).1 >= CONFIDENCE));
        let shown = |count: u32| median_interval(&vec![1.0; count as usize]).confidence();
        assert_eq!([shown(3), shown(5), shown(6)], ["75.0 %", "93.7 %", "96.8 %"]);
    }

    #[test]
    fn the_interval_covers_the_true_median_as_often_as_it_says() {
        const SAMPLES: u32 = 4_000;
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for count in [3, 5, 6, 7, 9] {
            let mut covered = 0;
            let mut said = 0.0;
            for _ in 0..SAMPLES {
                // Skewed, as latencies are; half of them are below 1.
                let value = |_| 1.0 / random.random_range(0.0..1.0_f64).max(1e-9) - 1.0;
                let sample: Vec<f64> = (0..count).map(value).collect();
                let interval = median_interval(&sample);
                assert!(interval.low <= interval.median && interval.median <= interval.high);
                covered += u32::from((interval.low..=interval.high).contains(&1.0));
                said = interval.coverage;
            }
            let found = f64::from(covered) / f64::from(SAMPLES);
            // Four standard deviations, which are 0.7 % for three values and less for more.
            assert!((found - said).abs() < 0.028, "{count}: {found}, and {said} is said");
        }
    }

    #[test]
    fn a_difference_is_told_from_noise() {
        let before = [10.0, 11.0, 9.0, 10.5, 9.5];
        let same = difference_interval(&before, &before);
        assert!(same.low < 0.0 && same.high > 0.0 && same.median == 0.0, "{same:?}");
        let after = before.map(|value| value + 5.0);
        let more = difference_interval(&before, &after);
        assert!(more.low > 2.0 && more.high < 8.0 && more.median == 5.0, "{more:?}");
    }

    #[test]
    fn medians_of_few_values() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[9.0, 1.0, 5.0]), 5.0);
    }
}
