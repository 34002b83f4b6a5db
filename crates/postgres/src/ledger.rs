//! The ledger: how many statements were sent, and what became of each.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};
use opentelemetry_semantic_conventions::attribute::{
    DB_COLLECTION_NAME, DB_OPERATION_NAME, DB_SYSTEM_NAME, ERROR_TYPE,
};

use crate::statement::Statement;

/// Why a statement was sent.
const PURPOSE: &str = "larder.purpose";
/// The strategy under which statements of a namespace without one are counted.
const NO_STRATEGY: &str = "none";

/// Counts every statement once, by what became of it.
///
/// A statement is *in flight* from the moment it is handed to the driver. It
/// then is *completed* (Postgres finished it), *failed* (Postgres refused it, or
/// it never reached Postgres), or *unknown* (the connection was lost, or the
/// future dropped, before the answer was read: Postgres may or may not have
/// finished it). Over a quiet interval Postgres's own count lies between
/// `completed` and `completed + unknown`.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: RwLock<HashMap<Key, Arc<Account>>>,
    strategies: ArcSwap<BTreeMap<String, &'static str>>,
    durations: OnceLock<Histogram<f64>>,
}

/// What the ledger holds for one kind of statement under one strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// The labels the statement was declared with.
    pub statement: Statement,
    /// The strategy its namespace ran under.
    pub strategy: &'static str,
    /// What became of the statements.
    pub totals: Totals,
}

/// How many statements had which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Finished by Postgres.
    pub completed: u64,
    /// Refused by Postgres, or never sent.
    pub failed: u64,
    /// Connection lost or future dropped before the answer was read.
    pub unknown: u64,
    /// Handed to the driver, no answer yet.
    pub in_flight: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    statement: Statement,
    strategy: &'static str,
}

/// The counters of one row.
#[derive(Debug, Default)]
pub(crate) struct Account {
    started: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
}

/// What became of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Completed,
    Failed,
    Unknown,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl Account {
    fn totals(&self) -> Totals {
        // The outcomes are read before `started`, so that in_flight never underflows.
        let completed = self.completed.load(Ordering::Acquire);
        let failed = self.failed.load(Ordering::Acquire);
        let unknown = self.unknown.load(Ordering::Acquire);
        let started = self.started.load(Ordering::Acquire);
        Totals {
            completed,
            failed,
            unknown,
            in_flight: started.saturating_sub(completed + failed + unknown),
        }
    }

    pub(crate) fn start(&self) {
        self.started.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn settle(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Completed => &self.completed,
            Outcome::Failed => &self.failed,
            Outcome::Unknown => &self.unknown,
        };
        counter.fetch_add(1, Ordering::AcqRel);
    }
}

impl Ledger {
    /// Counts the statements of `namespace` under `strategy` from now on.
    pub fn set_strategy(&self, namespace: &str, strategy: &'static str) {
        self.strategies.rcu(|current| {
            let mut next = BTreeMap::clone(current);
            next.insert(namespace.to_owned(), strategy);
            next
        });
    }

    /// Every row that was ever used, in a stable order.
    #[must_use]
    pub fn rows(&self) -> Vec<LedgerRow> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<_> = accounts
            .iter()
            .map(|(key, account)| LedgerRow {
                statement: key.statement,
                strategy: key.strategy,
                totals: account.totals(),
            })
            .collect();
        rows.sort_by_key(|row| (row.statement, row.strategy));
        rows
    }

    /// The sums over all rows.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for row in self.rows() {
            sum.add(row.totals);
        }
        sum
    }

    /// Exports the ledger as `larder.db.queries` and statement times as
    /// `db.client.operation.duration` (seconds). Only the first call has an effect
    /// on the durations; call it once per process.
    pub fn register(self: &Arc<Self>, meter: &Meter) {
        let durations = meter
            .f64_histogram("db.client.operation.duration")
            .with_unit("s")
            .with_description("Time from sending a statement to the end of its answer.")
            .with_boundaries(vec![
                0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                1.0, 2.5, 5.0, 10.0,
            ])
            .build();
        // A second registration keeps the first instrument: same name, same stream.
        let _ = self.durations.set(durations);

        let ledger = Arc::downgrade(self);
        meter
            .u64_observable_counter("larder.db.queries")
            .with_unit("{statement}")
            .with_description("SQL statements sent, by what became of them.")
            .with_callback(move |observer| {
                let Some(ledger) = ledger.upgrade() else { return };
                // Rows that differ in operation or collection alone are one point: a second
                // observation of the same attributes would replace the first.
                let mut points: BTreeMap<_, Totals> = BTreeMap::new();
                for row in ledger.rows() {
                    let Statement { namespace, purpose, .. } = row.statement;
                    let point = (namespace, row.strategy, purpose.as_str());
                    points.entry(point).or_default().add(row.totals);
                }
                for (point, totals) in points {
                    for (outcome, count) in [
                        (Outcome::Completed, totals.completed),
                        (Outcome::Failed, totals.failed),
                        (Outcome::Unknown, totals.unknown),
                    ] {
                        observer.observe(count, &attributes(point, outcome));
                    }
                }
            })
            .build();
    }

    pub(crate) fn account(&self, statement: Statement) -> Arc<Account> {
        let strategies = self.strategies.load();
        let strategy = strategies.get(statement.namespace).copied().unwrap_or(NO_STRATEGY);
        let key = Key { statement, strategy };
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(&key) {
            return Arc::clone(account);
        }
        drop(accounts);
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(key).or_default())
    }

    pub(crate) fn observe(&self, statement: Statement, outcome: Outcome, took: Duration) {
        let Some(durations) = self.durations.get() else { return };
        let mut attributes = vec![
            KeyValue::new(DB_SYSTEM_NAME, "postgresql"),
            KeyValue::new(DB_OPERATION_NAME, statement.operation),
            KeyValue::new(DB_COLLECTION_NAME, statement.collection),
            KeyValue::new(PURPOSE, statement.purpose.as_str()),
        ];
        if outcome != Outcome::Completed {
            attributes.push(KeyValue::new(ERROR_TYPE, outcome.as_str()));
        }
        durations.record(took.as_secs_f64(), &attributes);
    }
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.in_flight += other.in_flight;
    }
}

fn attributes(
    (namespace, strategy, purpose): (&'static str, &'static str, &'static str),
    outcome: Outcome,
) -> [KeyValue; 4] {
    [
        KeyValue::new("larder.namespace", namespace),
        KeyValue::new("larder.strategy", strategy),
        KeyValue::new(PURPOSE, purpose),
        KeyValue::new("larder.outcome", outcome.as_str()),
    ]
}
