//! The queries of a strategy, with a shared tier that holds everything.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::trace::{Access, Op};

/// The service's default jitter.
pub const JITTER: f64 = 0.05;
/// The service's default beta of XFetch.
pub const BETA: f64 = 1.0;

/// The span in which the most queries are looked for.
const WINDOW_US: u64 = 10_000_000;
/// Reloads that are less likely than e^-40 are not drawn for.
const UNLIKELY: f64 = 40.0;

/// Where the draws of lives begin: the same values live as long under every strategy.
const LIVES: u64 = 11;

/// What a write does to what is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnWrite {
    /// It is removed.
    Invalidate,
    /// The new value is loaded and stored.
    Publish,
    /// It stays, and is served although it is old.
    Ignore,
}

/// Reloads before the end of the time to live.
#[derive(Clone, Copy, Debug)]
pub struct Refresh {
    /// How eagerly; 1 is what XFetch's paper finds best.
    pub beta: f64,
    /// Where the draws begin.
    pub seed: u64,
}

/// What a strategy does.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Whether anything is cached at all.
    pub caches: bool,
    /// What a write does.
    pub on_write: OnWrite,
    /// How long a value is served; none: unbounded.
    pub ttl: Option<Duration>,
    /// The part of it, from 0 to 0.9, that is taken off each value's at random.
    pub jitter: f64,
    /// Reloads ahead, where there are any.
    pub refresh: Option<Refresh>,
}

/// The queries that a strategy sends to the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Demand {
    /// Reads of the database that a request waited for.
    pub loads: u64,
    /// Reads of the database that nobody waited for: reloads ahead.
    pub background_loads: u64,
    /// Reads of the database that a write waited for, to publish what it made.
    pub publishing_loads: u64,
    /// Writes.
    pub writes: u64,
    /// Reads that were answered with a value that a write had made old.
    pub stale_answers: u64,
    /// Milliseconds that all loads take together, where costs are known.
    pub load_ms: f64,
    /// The most queries of all kinds in 10 seconds; all of them where times are unknown.
    pub busiest_10_s: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    until_us: u64,
    stale: bool,
}

/// Draws how long each value is served.
struct Lives {
    ttl_us: Option<u64>,
    jitter: f64,
    random: ChaCha8Rng,
}

impl Lives {
    fn of(behaviour: Behaviour) -> Self {
        let ttl_us = behaviour.ttl.map(|ttl| u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX));
        Self { ttl_us, jitter: behaviour.jitter, random: ChaCha8Rng::seed_from_u64(LIVES) }
    }

    /// A value that is loaded at `at_us`.
    fn entry(&mut self, at_us: u64) -> Entry {
        let life = self.ttl_us.map(|ttl| {
            // As the service draws it.
            let off =
                if self.jitter > 0.0 { self.jitter * self.random.random::<f64>() } else { 0.0 };
            (ttl as f64 * (1.0 - off)) as u64
        });
        Entry { until_us: life.map_or(u64::MAX, |life| at_us.saturating_add(life)), stale: false }
    }
}

impl Demand {
    /// The demand of `accesses` under `behaviour`; `cost_ms` says what a load of a key takes.
    pub fn of(accesses: &[Access], behaviour: Behaviour, cost_ms: impl Fn(u32) -> f64) -> Self {
        let mut demand = Self::default();
        let mut entries: Vec<Option<Entry>> = Vec::new();
        let mut random = ChaCha8Rng::seed_from_u64(behaviour.refresh.map_or(0, |r| r.seed));
        let mut lives = Lives::of(behaviour);
        let mut window = (0, 0);
        for Access { at_us, key, op } in accesses.iter().copied() {
            let place = key as usize;
            if place >= entries.len() {
                entries.resize((place + 1).next_power_of_two(), None);
            }
            let entry = &mut entries[place];
            let before = demand.queries();
            match op {
                Op::Write => {
                    demand.writes += 1;
                    match behaviour.on_write {
                        OnWrite::Invalidate => *entry = None,
                        OnWrite::Publish => {
                            demand.publishing_loads += 1;
                            demand.load_ms += cost_ms(key);
                            *entry = Some(lives.entry(at_us));
                        }
                        OnWrite::Ignore => {
                            if let Some(entry) = entry {
                                entry.stale = true;
                            }
                        }
                    }
                }
                Op::Read => match entry.filter(|entry| at_us < entry.until_us) {
                    Some(held) => {
                        demand.stale_answers += u64::from(held.stale);
                        let remaining_ms = (held.until_us - at_us) as f64 / 1e3;
                        let due = behaviour.refresh.is_some_and(|refresh| {
                            let reach = cost_ms(key) * refresh.beta;
                            remaining_ms < reach * UNLIKELY
                                && -reach * (1.0 - random.random::<f64>()).ln() >= remaining_ms
                        });
                        if due {
                            demand.background_loads += 1;
                            demand.load_ms += cost_ms(key);
                            *entry = Some(lives.entry(at_us));
                        }
                    }
                    None => {
                        demand.loads += 1;
                        demand.load_ms += cost_ms(key);
                        *entry = behaviour.caches.then(|| lives.entry(at_us));
                    }
                },
            }
            let now = at_us / WINDOW_US;
            if now != window.0 {
                window = (now, 0);
            }
            window.1 += demand.queries() - before;
            demand.busiest_10_s = demand.busiest_10_s.max(window.1);
        }
        demand
    }

    /// Queries of all kinds.
    #[must_use]
    pub const fn queries(&self) -> u64 {
        self.loads + self.background_loads + self.publishing_loads + self.writes
    }
}

impl Behaviour {
    /// Nothing is cached.
    #[must_use]
    pub const fn none() -> Self {
        Self { caches: false, ..Self::caching(OnWrite::Invalidate, None) }
    }

    /// Everything is cached, for `ttl`.
    #[must_use]
    pub const fn caching(on_write: OnWrite, ttl: Option<Duration>) -> Self {
        Self { caches: true, on_write, ttl, jitter: 0.0, refresh: None }
    }
}
