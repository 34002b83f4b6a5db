//! What a restart or a lost server cost, and its repeats together.

use serde::{Deserialize, Serialize};

use super::{Cell, DbQueries, Metric, REPEATS_FOR_A_CLAIM, Summary};
use crate::measure::{Interval, median_interval};

/// What happened to a running service, and what it cost: the same schedule was sent undisturbed
/// just before, by caches that it had filled already.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// `rolling-restart` or `redis-node-loss`.
    pub name: String,
    /// To what.
    pub cell: Cell,
    /// Which repeat this is.
    pub repeat: u32,
    /// Seconds of each of the two loads: what is loaded again later is in no figure.
    pub seconds: f64,
    /// Statements while nothing happened …
    pub steady_queries: u64,
    /// … and with the event.
    pub queries: u64,
    /// What the event cost in statements.
    pub cost_queries: i64,
    /// Both counts of the statements with the event; none in results of an earlier version.
    #[serde(default)]
    pub db_queries: Option<DbQueries>,
    /// Statements of unknown outcome.
    pub unknown: u64,
    /// Requests answered with the event.
    pub requests: u64,
    /// Of those, errors.
    pub errors: u64,
    /// Errors while nothing happened.
    #[serde(default)]
    pub steady_errors: u64,
    /// Why the load generator does not vouch for one of the two loads; none: it does.
    #[serde(default)]
    pub not_certified: Option<String>,
    /// 99th percentile of the latency while nothing happened …
    pub steady_p99_ms: f64,
    /// … and with the event.
    pub p99_ms: f64,
    /// The longest latency with the event.
    pub max_ms: f64,
}

/// The repeats of one event in one cell together.
#[derive(Clone, Debug)]
pub struct EventSummary {
    /// `rolling-restart` or `redis-node-loss`.
    pub name: String,
    /// To what.
    pub cell: Cell,
    /// How many repeats there are.
    pub repeats: usize,
    /// Whether they are enough for a claim, the load generator vouches for all, and every request was answered
    /// while nothing happened.
    pub claim: bool,
    /// Seconds of each load.
    pub seconds: f64,
    /// What it cost in statements: each repeat against the undisturbed load just before it.
    pub cost_queries: Interval,
    /// Statements of the undisturbed loads.
    pub steady_queries: Interval,
    /// 99th percentile of the latency with the event, in milliseconds.
    pub p99_ms: Interval,
    /// Errors in all repeats.
    pub errors: u64,
}

/// The repeats of each event in each cell, in the order in which these first appear.
#[must_use]
pub fn event_summaries(events: &[Event]) -> Vec<EventSummary> {
    let same = |one: &Event, other: &Event| one.name == other.name && one.cell == other.cell;
    let firsts = events
        .iter()
        .enumerate()
        .filter(|(number, event)| !events[..*number].iter().any(|earlier| same(earlier, event)));
    firsts
        .map(|(_, first)| {
            let all: Vec<&Event> = events.iter().filter(|event| same(event, first)).collect();
            EventSummary::of(first, &all)
        })
        .collect()
}

/// `summaries`, each with what the events in its cell cost as further figures.
#[must_use]
pub fn with_events(mut summaries: Vec<Summary>, events: &[Event]) -> Vec<Summary> {
    for event in event_summaries(events) {
        if let Some(summary) = summaries.iter_mut().find(|summary| summary.cell == event.cell) {
            let name = figure(&event.name);
            summary.metrics.push(Metric { name, value: event.cost_queries });
        }
    }
    summaries
}

/// What the cost of an event called `name` is called among the figures of its cell.
fn figure(name: &str) -> String {
    format!("{}_queries", name.replace('-', "_"))
}

impl Event {
    /// What its cost is called among the figures of its cell.
    #[must_use]
    pub fn figure(&self) -> String {
        figure(&self.name)
    }
}

impl EventSummary {
    fn of(first: &Event, all: &[&Event]) -> Self {
        let over = |of: fn(&Event) -> f64| {
            let values: Vec<f64> = all.iter().map(|event| of(event)).collect();
            median_interval(&values)
        };
        Self {
            name: first.name.clone(),
            cell: first.cell.clone(),
            repeats: all.len(),
            claim: all.len() >= REPEATS_FOR_A_CLAIM
                && all
                    .iter()
                    .all(|event| event.steady_errors == 0 && event.not_certified.is_none()),
            seconds: first.seconds,
            cost_queries: over(|event| event.cost_queries as f64),
            steady_queries: over(|event| event.steady_queries as f64),
            p99_ms: over(|event| event.p99_ms),
            errors: all.iter().map(|event| event.errors).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, tiers: &str, repeat: u32, cost_queries: i64) -> Event {
        let cell = Cell {
            strategy: "read-through".into(),
            tiers: tiers.into(),
            ttl_ms: 0,
            l1_ttl_ms: 60_000,
            replicas: 2,
            workload: "uniform, 400/s".into(),
            db_latency_ms: None,
        };
        Event {
            name: name.into(),
            cell,
            repeat,
            seconds: 6.0,
            steady_queries: 100,
            queries: 100_u64.saturating_add_signed(cost_queries),
            cost_queries,
            db_queries: None,
            unknown: 0,
            requests: 2_400,
            errors: 1,
            steady_errors: 0,
            not_certified: None,
            steady_p99_ms: 3.0,
            p99_ms: 9.0,
            max_ms: 20.0,
        }
    }

    #[test]
    fn repeats_of_an_event_are_a_median_with_its_interval_in_their_cell() {
        let costs = [10, 70, 30, 20, 60, 50];
        let mut events = Vec::new();
        for (repeat, cost) in (1..).zip(costs) {
            events.push(event("rolling-restart", "l1", repeat, cost));
            events.push(event("redis-node-loss", "l1", repeat, -cost));
            events.push(event("rolling-restart", "l2", repeat, 0));
        }
        let found = event_summaries(&events);
        let of: Vec<(&str, &str, f64, f64, f64)> = found
            .iter()
            .map(|one| {
                let Interval { median, low, high, .. } = one.cost_queries;
                (one.name.as_str(), one.cell.tiers.as_str(), median, low, high)
            })
            .collect();
        assert_eq!(
            of,
            [
                ("rolling-restart", "l1", 40.0, 10.0, 70.0),
                ("redis-node-loss", "l1", -40.0, -70.0, -10.0),
                ("rolling-restart", "l2", 0.0, 0.0, 0.0),
            ]
        );
        assert!(found.iter().all(|one| one.claim && (one.repeats, one.errors) == (6, 6)));
        assert!(found[0].cost_queries.coverage >= 0.95);
        assert!(!event_summaries(&events[..15])[0].claim, "five repeats are too few");
        let mut late = events.clone();
        late[0].not_certified = Some("late".into());
        late[1].steady_errors = 1;
        let claims: Vec<bool> = event_summaries(&late).iter().map(|one| one.claim).collect();
        assert_eq!(claims, [false, false, true]);
        let cell = events[0].cell.clone();
        let summary = Summary { cell, repeats: 6, claim: true, metrics: Vec::new() };
        let summaries = with_events(vec![summary], &events);
        let cost = |name: &str| summaries[0].metric(name).map(|value| value.median);
        assert_eq!(cost("rolling_restart_queries"), Some(40.0));
        assert_eq!(cost("redis_node_loss_queries"), Some(-40.0));
    }
}
