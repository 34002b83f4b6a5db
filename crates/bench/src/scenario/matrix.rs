//! Strategies × processes × workloads × load, each cell measured several times.

use serde::{Deserialize, Serialize};

use super::faults::Fault;
use crate::load::Spread;
use crate::workload::Pace;

/// The most users of a closed loop: each is a connection, and ports are 16 bits.
const MOST_USERS: u32 = 20_000;
/// The most requests of an open loop: they are drawn before it begins, and take memory.
const MOST_REQUESTS: f64 = 1e7;

/// What is measured for every strategy.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matrix {
    /// Numbers of API processes.
    #[serde(default = "one")]
    pub replicas: Vec<u32>,
    /// How requests are spread over them.
    #[serde(default)]
    pub spread: Spread,
    /// How often each cell is measured, in turn with all others.
    pub repeats: u32,
    /// Whether every product that is asked for is asked for once of every process before.
    #[serde(default)]
    pub fill: bool,
    /// Seconds of load before anything is measured: requests of the same kind, none of them those that are
    /// measured.
    #[serde(default)]
    pub warm_up_seconds: f64,
    /// Requests a second of that, in an open loop; none: those of the load that is measured, or as many
    /// users.
    #[serde(default)]
    pub warm_up_rate: Option<f64>,
    /// Seconds of each measurement; a recorded sequence takes as long as it takes.
    #[serde(default)]
    pub seconds: f64,
    /// Rates of open loops, in requests a second.
    #[serde(default)]
    pub rates: Vec<f64>,
    /// Concurrent users of closed loops.
    #[serde(default)]
    pub users: Vec<u32>,
    /// How long each user waits after an answer, in milliseconds.
    #[serde(default)]
    pub think_ms: u32,
    /// The part of the cache's answers whose age is found out.
    #[serde(default)]
    pub sample: f64,
    /// What happens to the service after each measurement of a cached strategy in an open loop, while its
    /// schedule is sent again; and twice undisturbed just before, of which the first fills the caches as the schedule
    /// does, and the second is what the event is compared with.
    #[serde(default)]
    pub events: Vec<EventKind>,
    /// Seconds of each of these loads; none: as many as are measured.
    #[serde(default)]
    pub event_seconds: Option<f64>,
}

/// What happens to a running service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// Every process is replaced by a new one, one after the other.
    RollingRestart,
    /// A primary of the Redis Cluster dies; its replica takes over.
    RedisNodeLoss,
}

/// How a load is offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    /// An open loop of so many requests a second.
    Rate(f64),
    /// A closed loop of so many users.
    Users(u32),
    /// A recorded sequence.
    Trace(Pace),
}

fn one() -> Vec<u32> {
    vec![1]
}

impl EventKind {
    /// Its name in scenarios and results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RollingRestart => "rolling-restart",
            Self::RedisNodeLoss => "redis-node-loss",
        }
    }
}

impl Level {
    /// For people.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Rate(rate) => format!("{rate}/s"),
            Self::Users(1) => "1 user".to_owned(),
            Self::Users(users) => format!("{users} users"),
            Self::Trace(pace) => pace.label(),
        }
    }
}

/// One of `values` that is there twice.
pub(super) fn repeated<T: PartialEq + std::fmt::Display>(
    values: &[T],
) -> Option<&dyn std::fmt::Display> {
    let (_, value) = (1..).zip(values).find(|(next, value)| values[*next..].contains(value))?;
    Some(value)
}

impl Matrix {
    /// All loads of a workload that is not recorded.
    #[must_use]
    pub fn levels(&self) -> Vec<Level> {
        let rates = self.rates.iter().map(|rate| Level::Rate(*rate));
        rates.chain(self.users.iter().map(|users| Level::Users(*users))).collect()
    }

    /// Refuses what cannot work; `recorded`: all workloads are recorded sequences.
    pub(super) fn validate(&self, recorded: bool) -> Result<(), Fault> {
        let fault = |key: &str, must: &str| {
            Err(Fault { place: format!("matrix.{key}"), must: must.to_owned() })
        };
        let span = |seconds: f64, least: f64| (least..=3_600.0).contains(&seconds);
        if self.replicas.is_empty() || !self.replicas.iter().all(|count| (1..=4).contains(count)) {
            return fault("replicas", "must be a list of numbers from 1 to 4");
        }
        if !(1..=100).contains(&self.repeats) {
            return fault("repeats", "must be from 1 to 100 (6 or more for a claim)");
        }
        if !span(self.warm_up_seconds, 0.0) {
            return fault("warm_up_seconds", "must be from 0 to 3600");
        }
        if !recorded && !span(self.seconds, 0.1) {
            return fault("seconds", "must be from 0.1 to 3600");
        }
        if !recorded && self.rates.is_empty() && self.users.is_empty() {
            return fault("rates", "or matrix.users must name at least one load");
        }
        if !self.rates.iter().all(|rate| (1.0..=1e6).contains(rate)) {
            return fault("rates", "must each be from 1 to 1000000 requests a second");
        }
        if !self.warm_up_rate.is_none_or(|rate| (1.0..=1e6).contains(&rate)) {
            return fault("warm_up_rate", "must be from 1 to 1000000 requests a second");
        }
        if !self.event_seconds.is_none_or(|seconds| span(seconds, 0.1)) {
            return fault("event_seconds", "must be from 0.1 to 3600");
        }
        let fastest = self.rates.iter().copied().fold(0.0, f64::max);
        let before = self.warm_up_rate.unwrap_or(fastest) * self.warm_up_seconds;
        let (rate, seconds, most) = if self.warm_up_rate.is_some() && before > MOST_REQUESTS {
            ("warm_up_rate", "warm_up_seconds", before)
        } else if before > fastest * self.seconds {
            ("rates", "warm_up_seconds", before)
        } else if self.event_seconds.is_some_and(|seconds| seconds > self.seconds) {
            let seconds = self.event_seconds.unwrap_or_default();
            ("rates", "event_seconds", fastest * seconds)
        } else {
            ("rates", "seconds", fastest * self.seconds)
        };
        if most > MOST_REQUESTS {
            let must = format!(
                "times matrix.{seconds} is {most:.0} requests, and must be {MOST_REQUESTS:.0} at the most: \
                 a lower rate, or less time"
            );
            return fault(rate, &must);
        }
        if !self.users.iter().all(|users| (1..=MOST_USERS).contains(users)) {
            return fault("users", "must each be from 1 to 20000");
        }
        // Of two that are the same, nobody could tell the figures apart.
        for (key, twice) in [
            ("replicas", repeated(&self.replicas)),
            ("rates", repeated(&self.rates)),
            ("users", repeated(&self.users)),
        ] {
            if let Some(value) = twice {
                return fault(key, &format!("must differ from each other: {value} is there twice"));
            }
        }
        if !(0.0..=1.0).contains(&self.sample) {
            return fault("sample", "must be from 0 to 1");
        }
        if !self.events.is_empty() && self.rates.is_empty() {
            return fault("events", "need an open loop: set matrix.rates");
        }
        Ok(())
    }
}
