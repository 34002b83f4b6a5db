//! The figures that a step can be for.

use serde::Deserialize;

use super::outcome::StepResult;

/// A figure that a step is for: its change is told in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watched {
    /// Statements of all kinds.
    Queries,
    /// Reads of Postgres that a cache could answer.
    Loads,
    /// Statements that are no loads: of writes.
    OtherQueries,
    /// The most statements within a quarter of a second.
    Busiest,
    /// Reads that the cache did not answer.
    Waited,
    /// Median latency.
    P50,
    /// 99th percentile of the latency.
    P99,
    /// Commands to Redis.
    RedisRoundTrips,
    /// Errors while Postgres was away for a time.
    OutageErrors,
    /// Answers past their time meanwhile.
    OutageStale,
}

impl Watched {
    /// All, in the order of a step's table.
    pub const ALL: [Self; 10] = [
        Self::Queries,
        Self::Loads,
        Self::OtherQueries,
        Self::Busiest,
        Self::Waited,
        Self::P50,
        Self::P99,
        Self::RedisRoundTrips,
        Self::OutageErrors,
        Self::OutageStale,
    ];

    /// Its name for people.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Queries => "database queries",
            Self::Loads => "loads (reads that a cache could answer)",
            Self::OtherQueries => "queries for writes",
            Self::Busiest => "most queries within 250 ms",
            Self::Waited => "reads that waited for Postgres",
            Self::P50 => "median latency (p50)",
            Self::P99 => "99th percentile (p99)",
            Self::RedisRoundTrips => "commands to Redis",
            Self::OutageErrors => "errors in the load with the outage",
            Self::OutageStale => "stale answers in it",
        }
    }

    /// Its value in a step.
    #[must_use]
    pub fn of(self, step: &StepResult) -> f64 {
        let StepResult { calm, outage, .. } = step;
        match self {
            Self::Queries => calm.queries() as f64,
            Self::Loads => calm.db_queries.loads as f64,
            Self::OtherQueries => calm.other_queries() as f64,
            Self::Busiest => calm.busiest as f64,
            Self::Waited => calm.waited as f64,
            Self::P50 => calm.p50_ms,
            Self::P99 => calm.p99_ms,
            Self::RedisRoundTrips => calm.redis_round_trips as f64,
            Self::OutageErrors => outage.errors as f64,
            Self::OutageStale => outage.stale_answers as f64,
        }
    }

    /// A value of it for people.
    #[must_use]
    pub fn shown(self, value: f64) -> String {
        match self {
            Self::P50 | Self::P99 => format!("{} ms", three_digits(value)),
            _ => grouped(value as u64),
        }
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn three_digits(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// How much `after` is of `before`, as a change.
pub(super) fn change(before: f64, after: f64) -> String {
    if before == after {
        return "the same".to_owned();
    }
    if before == 0.0 {
        return "from none".to_owned();
    }
    let ratio = after / before;
    if ratio >= 3.0 {
        return format!("{ratio:.1} times as many");
    }
    format!("{:+.1} %", (ratio - 1.0) * 100.0).replace('-', "−")
}
