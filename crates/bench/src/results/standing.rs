//! A bar, and where a figure with its interval stands.

use serde::{Deserialize, Serialize};

use crate::measure::Interval;

/// What an interval must hold its median with, to decide anything.
const DECIDES: f64 = 0.95;

/// Where a figure with its interval stands against the least that it must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The whole interval reaches the bar, and it is one that holds the median nearly always.
    Holds,
    /// The median does, and not all of the interval: chance may have lifted it.
    MedianHolds,
    /// The median does not, and a part of the interval does: chance may have lowered it.
    MedianMisses,
    /// No part of the interval reaches the bar.
    DoesNotHold,
}

impl Standing {
    /// Where `value` stands against `bar`.
    #[must_use]
    pub fn of(value: Interval, bar: f64) -> Self {
        let decides = value.coverage >= DECIDES;
        match (value.median >= bar, value.low >= bar, value.high < bar) {
            (true, true, _) if decides => Self::Holds,
            (true, ..) => Self::MedianHolds,
            (false, _, true) if decides => Self::DoesNotHold,
            (false, ..) => Self::MedianMisses,
        }
    }

    /// Whether the median reaches the bar: what the exit code goes by.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Holds | Self::MedianHolds)
    }

    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::MedianHolds => "median holds, interval does not decide",
            Self::MedianMisses => "median misses, interval does not decide",
            Self::DoesNotHold => "DOES NOT HOLD",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::median_interval;

    #[test]
    fn a_bar_is_decided_by_the_whole_interval_and_passed_by_the_median() {
        let cases = [
            ([0.50, 0.51, 0.52], Standing::Holds, Standing::MedianHolds),
            ([0.45, 0.45, 0.45], Standing::Holds, Standing::MedianHolds),
            ([0.44, 0.46, 0.52], Standing::MedianHolds, Standing::MedianHolds),
            ([0.40, 0.44, 0.45], Standing::MedianMisses, Standing::MedianMisses),
            ([0.40, 0.41, 0.44], Standing::DoesNotHold, Standing::MedianMisses),
        ];
        for (values, standing, of_few) in cases {
            let often: Vec<f64> = values.iter().flat_map(|value| [*value; 3]).collect();
            let found = Standing::of(median_interval(&often), 0.45);
            assert_eq!(found, standing, "{values:?}");
            assert_eq!(found.passes(), values[1] >= 0.45, "{values:?}");
            // Three values are too few to decide anything.
            assert_eq!(Standing::of(median_interval(&values), 0.45), of_few, "{values:?}");
        }
    }
}
