//! A bar, and where a figure with its interval stands.

use serde::{Deserialize, Serialize};

use crate::measure::Interval;

/// Where a figure with its interval stands against the least that it must reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The whole interval reaches the bar.
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
        if value.low >= bar {
            Self::Holds
        } else if value.median >= bar {
            Self::MedianHolds
        } else if value.high >= bar {
            Self::MedianMisses
        } else {
            Self::DoesNotHold
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
            ([0.50, 0.51, 0.52], Standing::Holds, true),
            ([0.45, 0.45, 0.45], Standing::Holds, true),
            ([0.44, 0.46, 0.52], Standing::MedianHolds, true),
            ([0.40, 0.44, 0.45], Standing::MedianMisses, false),
            ([0.40, 0.41, 0.44], Standing::DoesNotHold, false),
        ];
        for (values, standing, passes) in cases {
            let found = Standing::of(median_interval(&values), 0.45);
            assert_eq!((found, found.passes()), (standing, passes), "{values:?}");
        }
    }
}
