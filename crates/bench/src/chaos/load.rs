//! The load: several products at a time, each written and read by a crew of clients.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::crew::Crew;
use super::record::Record;
use super::sender::Ports;

/// How long a crew waits after a product that ended with something unknown: while nobody answers,
/// products are not to be used up.
const AFTER_UNKNOWN: Duration = Duration::from_millis(300);
/// Cases of one kind that are kept.
const CASES: usize = 20;

/// The products that have not been written yet.
#[derive(Debug)]
pub(super) struct Products {
    ids: Vec<u32>,
    next: AtomicUsize,
}

/// What all crews share.
#[derive(Debug)]
pub(super) struct Shared {
    products: Arc<Products>,
    over: AtomicBool,
    ran_out: AtomicBool,
    pub(super) pulse: Pulse,
    pub(super) reads: AtomicU64,
    pub(super) undone: AtomicU64,
    cases: Mutex<Vec<String>>,
}

/// When writes were acknowledged.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<Beats>);

#[derive(Clone, Copy, Debug)]
struct Beats {
    count: u64,
    last: Instant,
    longest: Duration,
}

/// A load that goes on. Dropped, it ends at once.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) shared: Arc<Shared>,
    crews: JoinSet<Vec<Record>>,
}

/// What a load did, and what its readers saw.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) records: Vec<Record>,
    pub(super) reads: u64,
    pub(super) undone: u64,
    pub(super) longest_outage: Duration,
    pub(super) cases: Vec<String>,
}

impl Products {
    pub(super) fn new(ids: Vec<u32>) -> Self {
        Self { ids, next: AtomicUsize::new(0) }
    }

    fn take(&self) -> Option<u32> {
        self.ids.get(self.next.fetch_add(1, Ordering::Relaxed)).copied()
    }
}

impl Pulse {
    fn new() -> Self {
        Self(Mutex::new(Beats { count: 0, last: Instant::now(), longest: Duration::ZERO }))
    }

    /// A write was acknowledged.
    pub(super) fn beat(&self) {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        beats.longest = beats.longest.max(now - beats.last);
        (beats.count, beats.last) = (beats.count + 1, now);
    }

    fn read(&self) -> Beats {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes that were acknowledged so far.
    pub(super) fn count(&self) -> u64 {
        self.read().count
    }
}

impl Shared {
    /// Whether the load is to end.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// A reader saw less than it had been told of.
    pub(super) fn undone(&self, count: u64, case: impl FnOnce() -> String) {
        if count > 0 {
            self.undone.fetch_add(count, Ordering::Relaxed);
            let mut cases = self.cases.lock().unwrap_or_else(PoisonError::into_inner);
            if cases.len() < CASES {
                cases.push(case());
            }
        }
    }
}

impl Load {
    /// `keys` crews begin, each with one of `products` at a time.
    pub(super) fn begin(ports: &Ports, products: &Arc<Products>, keys: u16, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            products: Arc::clone(products),
            over: AtomicBool::new(false),
            ran_out: AtomicBool::new(false),
            pulse: Pulse::new(),
            reads: AtomicU64::new(0),
            undone: AtomicU64::new(0),
            cases: Mutex::default(),
        });
        let mut crews = JoinSet::new();
        for number in 0..keys {
            let mut crew = Crew::new(ports, seed, number.into());
            let shared = Arc::clone(&shared);
            crews.spawn(async move {
                let mut records = Vec::new();
                while !shared.is_over() {
                    let Some(product) = shared.products.take() else {
                        shared.ran_out.store(true, Ordering::Relaxed);
                        break;
                    };
                    records.push(crew.work(&shared, product).await);
                    if !shared.is_over() {
                        sleep(AFTER_UNKNOWN).await;
                    }
                }
                records
            });
        }
        Self { shared, crews }
    }

    /// Waits until another write is acknowledged.
    pub(super) async fn goes_on(&self, limit: Duration) -> Result<()> {
        let (before, deadline) = (self.shared.pulse.count(), Instant::now() + limit);
        while self.shared.pulse.count() == before {
            ensure!(Instant::now() < deadline, "no write was acknowledged within {limit:?}");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Ends it, once all that was sent is answered.
    pub(super) async fn end(mut self) -> Result<Done> {
        let beats = self.shared.pulse.read();
        let longest_outage = beats.longest.max(beats.last.elapsed());
        self.shared.over.store(true, Ordering::Relaxed);
        let mut records = Vec::new();
        while let Some(crew) = self.crews.join_next().await {
            records.extend(crew.context("a crew ended early")?);
        }
        let shared = &self.shared;
        let ran_out = shared.ran_out.load(Ordering::Relaxed);
        ensure!(!ran_out, "all products have been written: more of them, with --products");
        let cases =
            std::mem::take(&mut *shared.cases.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Done {
            records,
            reads: shared.reads.load(Ordering::Relaxed),
            undone: shared.undone.load(Ordering::Relaxed),
            longest_outage,
            cases,
        })
    }
}
