//! Medians with their intervals, in words.

use crate::measure::Interval;
use crate::results::Ratio;

/// A part of a whole.
pub(super) fn part(part: Interval) -> String {
    let Interval { median, low, high, .. } = part;
    format!("{:.1} % ({:.1} to {:.1})", median * 100.0, low * 100.0, high * 100.0)
}

/// How many times.
pub(super) fn times(ratio: Interval) -> String {
    format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.low, ratio.high)
}

/// A ratio: a digit more, for bars have two.
pub(super) fn ratio(ratio: Interval) -> String {
    format!("{:.3} ({:.3} to {:.3})", ratio.median, ratio.low, ratio.high)
}

/// As many digits as the size of a figure is worth.
pub(super) fn figure(value: Interval) -> String {
    let shown = |value: f64| match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    };
    format!("{} ({} – {})", shown(value.median), shown(value.low), shown(value.high))
}

/// A ratio by server CPU.
pub(super) fn by_server_cpu(of: &Ratio) -> String {
    of.by_server_cpu.map_or_else(|| "not measured".to_owned(), ratio)
}

/// Where a ratio stands against its bar.
pub(super) fn standing(of: &Ratio) -> String {
    let Some(bar) = of.bar else { return "no bar".to_owned() };
    let found = of.standing.map_or_else(String::new, |standing| format!(": {}", standing.words()));
    format!("≥ {bar}{found}")
}

/// Which of a ratio's two figures is which.
pub(super) const TWO_RATIOS: &str = "By throughput compares requests a second, while the load generator takes its part of the same \
     processors on both sides, which draws a ratio towards 1 where the server has little to do; by server \
     CPU compares requests for each processor second of API, Redis and Postgres, the generator left out. \
     The bars are for throughput.";
