//! One second of this process, as the page shows it.

use std::collections::VecDeque;

use larder_telemetry::Readings;
use serde::Serialize;

use super::costs::Period;
use super::counts::{Counts, Lookups, Queries, Requests, TIERS};
use super::peers::{Processes, Report};
use crate::app::State;

/// Ratios and percentiles are of so much time: of one second alone they would jump about.
const WINDOW_MS: u64 = 10_000;

/// What the picture shows of one second.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Point {
    /// In milliseconds since the process began.
    at_ms: u64,
    requests_per_second: f64,
    queries_per_second: f64,
    /// Of the last ten seconds, as all that follows; null where nothing was asked.
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    hit_ratio: [Option<f64>; 2],
}

/// All that the page shows.
#[derive(Debug, Serialize)]
pub(super) struct Snapshot {
    now: Point,
    p90_ms: Option<f64>,
    requests: Requests,
    queries: Queries,
    tiers: [Tier; 2],
    /// Of answers that were compared with Postgres; null where none was.
    staleness: Option<Staleness>,
    journal: Vec<Waiting>,
    relay: Relay,
    redis: Redis,
    costs: Vec<Period>,
    /// Null while nobody knows of the others.
    processes: Option<Processes>,
}

#[derive(Debug, Serialize)]
struct Tier {
    tier: &'static str,
    #[serde(flatten)]
    lookups: Lookups,
}

#[derive(Debug, Serialize)]
struct Staleness {
    sampled: u64,
    stale: u64,
    p50_ms: f64,
    p99_ms: f64,
}

/// A journal of write-behind.
#[derive(Debug, Serialize)]
struct Waiting {
    mode: String,
    depth: f64,
    oldest_ms: f64,
    dead_letters: f64,
}

#[derive(Debug, Serialize)]
struct Relay {
    /// Whether this process relays; null where none does here.
    active: bool,
    lag_ms: f64,
    backlog: f64,
    /// Whether nothing told by others can have been missed.
    proven: bool,
}

#[derive(Debug, Serialize)]
struct Redis {
    available: bool,
    breakers_open: f64,
    round_trips: f64,
}

impl Point {
    fn new(at_ms: u64, report: &Report) -> Self {
        Self {
            at_ms,
            requests_per_second: report.requests_per_second,
            queries_per_second: report.queries_per_second,
            p50_ms: report.quantile_ms(0.5),
            p99_ms: report.quantile_ms(0.99),
            hit_ratio: report.hit_ratio(),
        }
    }
}

/// The counts of the last moments, oldest first.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<(u64, Counts)>);

impl Window {
    /// Takes in the counts of `at_ms`, and forgets what is older than any figure needs.
    pub(super) fn push(&mut self, at_ms: u64, counts: Counts) {
        self.0.push_back((at_ms, counts));
        // One at least stays beyond the window: a figure is a difference.
        while self.0.get(1).is_some_and(|(second, _)| *second + WINDOW_MS <= at_ms) {
            self.0.pop_front();
        }
    }

    /// What the last second, and the last ten, come to; `None` before there are two moments.
    pub(super) fn report(&self) -> Option<Report> {
        let (at_ms, now) = self.0.back()?;
        let (before_ms, before) = self.0.get(self.0.len().checked_sub(2)?)?;
        let (_, oldest) = self.0.front()?;
        let seconds = at_ms.saturating_sub(*before_ms) as f64 / 1_000.0;
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        Some(Report {
            requests_per_second: rate(now.requests.all, before.requests.all),
            queries_per_second: rate(now.queries.all(), before.queries.all()),
            requests: now.requests,
            queries: now.queries,
            lookups: [0, 1].map(|tier| now.lookups[tier].since(&oldest.lookups[tier])),
            latency: now.latency.since(&oldest.latency),
        })
    }

    /// The newest counts, of which `report` is made, with what is known beside them; `None` where there
    /// are none.
    pub(super) fn snapshot(
        &self,
        state: &State,
        readings: &Readings,
        report: &Report,
        (costs, processes): (Vec<Period>, Option<Processes>),
    ) -> Option<(Point, Snapshot)> {
        let (at_ms, counts) = self.0.back()?;
        let now = Point::new(*at_ms, report);
        let gauge = |name: &str| readings.sum(name, |_| true);
        let shared = state.catalogue.shared();
        let snapshot = Snapshot {
            now: now.clone(),
            p90_ms: report.quantile_ms(0.9),
            requests: counts.requests,
            queries: counts.queries,
            tiers: [0, 1].map(|at| Tier { tier: TIERS[at], lookups: counts.lookups[at] }),
            staleness: staleness(counts),
            journal: waiting(readings),
            relay: Relay {
                active: gauge("larder_feed_active") > 0.0,
                lag_ms: gauge("larder_feed_lag") * 1_000.0,
                backlog: gauge("larder_feed_backlog"),
                proven: shared.coherence.as_deref().is_some_and(|kept| kept.is_proven()),
            },
            redis: Redis {
                available: shared.l2.is_available(),
                breakers_open: gauge("larder_redis_breakers_open"),
                round_trips: gauge("larder_redis_round_trips_total"),
            },
            costs,
            processes,
        };
        Some((now, snapshot))
    }
}

fn staleness(counts: &Counts) -> Option<Staleness> {
    let of = |q| counts.staleness.quantile(q).map(|seconds| seconds * 1_000.0);
    Some(Staleness {
        sampled: counts.staleness.count(),
        stale: counts.stale,
        p50_ms: of(0.5)?,
        p99_ms: of(0.99)?,
    })
}

fn waiting(readings: &Readings) -> Vec<Waiting> {
    let modes = readings.values("larder_write_behind_depth", "larder_mode").into_iter();
    modes
        .map(|mode| {
            let of = |name: &str| readings.sum(name, |of| of.get("larder_mode") == mode);
            Waiting {
                mode: mode.to_owned(),
                depth: of("larder_write_behind_depth"),
                oldest_ms: of("larder_write_behind_oldest_age_seconds") * 1_000.0,
                dead_letters: of("larder_write_behind_dead_letters"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, completed: u64, l1: Lookups) -> Counts {
        Counts {
            requests: Requests { all: requests, failed: 0 },
            queries: Queries { completed, ..Queries::default() },
            lookups: [l1, Lookups::default()],
            ..Counts::default()
        }
    }

    #[test]
    fn rates_are_of_the_last_second_and_ratios_of_the_last_ten() {
        let mut window = Window::default();
        window.push(0, counts(0, 0, Lookups::default()));
        assert!(window.report().is_none(), "one moment is no interval");
        for second in 1..=20 {
            // Nothing is hit in the first ten seconds, everything from then on.
            let hits = 100 * u64::max(second, 10) - 1_000;
            let l1 = Lookups { hits, all: 100 * second };
            window.push(1_000 * second, counts(200 * second, 3 * second, l1));
        }
        let report = window.report().expect("there are two moments");
        assert_eq!((report.requests_per_second, report.queries_per_second), (200.0, 3.0));
        assert_eq!(report.hit_ratio(), [Some(1.0), None]);
        assert_eq!((report.quantile_ms(0.5), report.quantile_ms(0.9)), (None, None));
        assert_eq!((report.requests.all, report.queries.completed), (4_000, 60));
        assert_eq!(window.0.len(), 11);
    }

    #[test]
    fn a_second_that_took_two_counts_as_two() {
        let mut window = Window::default();
        window.push(0, counts(0, 0, Lookups::default()));
        window.push(2_000, counts(400, 10, Lookups::default()));
        let report = window.report().expect("there are two moments");
        assert_eq!((report.requests_per_second, report.queries_per_second), (200.0, 5.0));
    }
}
