//! The readers: an open loop over all processes, and a sweep over all keys.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::Semaphore;

use super::history::{Phase, Read};
use super::reader::{Reader, Wanted};
use crate::load::{Keys, histogram, pace, poisson};
use crate::scenario::ReadView;

/// Requests under way at once, at most. A stall of 100 ms at the default rate fills them.
const READERS: usize = 96;
/// Two pages for every summary: pages show other products, too.
const PAGES: f64 = 2.0 / 3.0;

/// The reads of a load.
#[derive(Debug)]
pub(super) struct Reads {
    pub(super) reads: Vec<Read>,
    /// From when a read was due to its answer, in microseconds.
    pub(super) latency: Histogram<u64>,
    /// 99th percentile of how late reads were released: the load's own fault.
    pub(super) pacing_p99_ms: f64,
}

/// A read that is due.
#[derive(Clone, Copy, Debug)]
struct Planned {
    due: Duration,
    wanted: Wanted,
}

/// `rate` reads a second for `length` over all processes, keys by a Zipf law, both views.
fn plan(keys: &mut Keys, rate: f64, length: Duration, processes: u8, seed: u64) -> Vec<Planned> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let due = poisson(rate, length, seed ^ 0x5EED);
    due.into_iter()
        .map(|due| {
            let view = if random.random_bool(PAGES) {
                ReadView::ProductPage
            } else {
                ReadView::ProductSummary
            };
            let process = random.random_range(0..processes);
            let (product, phase) = (keys.next_key(), Phase::Load);
            Planned { due, wanted: Wanted { process, view, product, phase } }
        })
        .collect()
}

/// Sends reads when they are due, whether or not earlier ones have been answered.
pub(super) async fn read_for(
    addresses: &[SocketAddr],
    keys: &mut Keys,
    rate: f64,
    length: Duration,
    seed: u64,
) -> Reads {
    let processes = u8::try_from(addresses.len()).expect("a handful of processes");
    let planned: Arc<[Planned]> = plan(keys, rate, length, processes, seed).into();
    let released = Arc::new(Semaphore::new(0));
    let next = Arc::new(AtomicUsize::new(0));
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut reader = Reader::new(addresses);
        reader.connect().await;
        readers.push(reader);
    }
    let start = Instant::now();
    let pacer = {
        let due: Vec<Duration> = planned.iter().map(|planned| planned.due).collect();
        let released = Arc::clone(&released);
        std::thread::spawn(move || pace(start, &due, &released))
    };
    let workers: Vec<_> = readers
        .into_iter()
        .map(|mut reader| {
            let (planned, released, next) =
                (Arc::clone(&planned), Arc::clone(&released), Arc::clone(&next));
            tokio::spawn(async move {
                let (mut reads, mut latency) = (Vec::new(), histogram());
                // Closed once all have been released: those that are left are due.
                while let Some(planned) = {
                    if let Ok(permit) = released.acquire().await {
                        permit.forget();
                    }
                    planned.get(next.fetch_add(1, Ordering::Relaxed))
                } {
                    reads.push(reader.read(planned.wanted).await);
                    let took = start.elapsed().saturating_sub(planned.due);
                    latency.saturating_record(took.as_micros() as u64);
                }
                (reads, latency)
            })
        })
        .collect();
    let (mut reads, mut latency) = (Vec::new(), histogram());
    for worker in workers {
        let (part, took) = worker.await.expect("a reader does not panic");
        reads.extend(part);
        latency.add(&took).expect("all histograms have the same bounds");
    }
    let pacing_p99_ms = pacer.join().unwrap_or(f64::INFINITY);
    Reads { reads, latency, pacing_p99_ms }
}

/// Reads each of `products` once in every view from every process, as fast as it goes.
pub(super) async fn sweep(addresses: &[SocketAddr], products: &[u32]) -> Vec<Read> {
    let mut wanted = Vec::new();
    for product in products {
        for view in [ReadView::ProductPage, ReadView::ProductSummary] {
            for process in 0..u8::try_from(addresses.len()).expect("a handful of processes") {
                wanted.push(Wanted { process, view, product: *product, phase: Phase::Sweep });
            }
        }
    }
    let wanted: Arc<[Wanted]> = wanted.into();
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let (wanted, next) = (Arc::clone(&wanted), Arc::clone(&next));
            let mut reader = Reader::new(addresses);
            tokio::spawn(async move {
                let mut reads = Vec::new();
                while let Some(wanted) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    reads.push(reader.read(*wanted).await);
                }
                reads
            })
        })
        .collect();
    let mut reads = Vec::new();
    for worker in workers {
        reads.extend(worker.await.expect("a reader does not panic"));
    }
    reads
}
