//! The open loop: requests are sent when they are due, and timed from then.
//!
//! A closed loop waits for an answer before it asks again; while the server stalls it sends
//! nothing, and so it hardly notices (coordinated omission: G. Tene, *How NOT to Measure
//! Latency*, 2013). Here a stall delays all that was due meanwhile, and each delay counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Outcome;
use super::client::{Client, Request};

/// After the last request is due, so long is waited for answers; the rest are errors.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open loop's result.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    /// What it met with.
    pub outcome: Outcome,
    /// 99th percentile of how late requests were released, in milliseconds: the generator's
    /// own fault, not the server's.
    pub pacing_p99_ms: f64,
}

/// Sends `requests[i]` when `due[i]` has passed, over `connections` connections.
///
/// # Panics
///
/// When there are fewer requests than times.
pub async fn open_loop(
    address: SocketAddr,
    connections: usize,
    due: Vec<Duration>,
    requests: Vec<Request>,
) -> OpenLoop {
    assert!(requests.len() >= due.len(), "a request for every time");
    let due: Arc<[Duration]> = due.into();
    let requests: Arc<[Request]> = requests.into();
    let released = Arc::new(Semaphore::new(0));
    let next = Arc::new(AtomicUsize::new(0));
    // Connections are made before the clock runs.
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut client = Client::new(address);
        client.send(&Request::get("/healthz")).await;
        clients.push(client);
    }

    let start = Instant::now();
    let pacer = {
        let (due, released) = (Arc::clone(&due), Arc::clone(&released));
        // A thread of its own: Tokio's timers tick in milliseconds.
        std::thread::spawn(move || pace(start, &due, &released))
    };
    let workers: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let (due, requests) = (Arc::clone(&due), Arc::clone(&requests));
            let (released, next) = (Arc::clone(&released), Arc::clone(&next));
            tokio::spawn(work(client, start, due, requests, released, next))
        })
        .collect();
    let end = due.last().copied().unwrap_or_default() + PATIENCE;
    let mut outcome = Outcome::empty();
    for worker in workers {
        let abort = worker.abort_handle();
        let left = end.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, worker).await {
            Ok(Ok(part)) => outcome.merge(&part),
            _ => abort.abort(),
        }
    }
    // What was not answered in time is an error that lasted at least until now.
    let unanswered = due.len() as u64 - outcome.answered.min(due.len() as u64);
    outcome.errors += unanswered;
    if unanswered > 0 {
        outcome.latency.saturating_record_n(PATIENCE.as_micros() as u64, unanswered);
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    let pacing_p99_ms = pacer.join().unwrap_or(f64::INFINITY);
    OpenLoop { outcome, pacing_p99_ms }
}

/// Releases each request when it is due; returns how late the latest hundredth was.
pub(crate) fn pace(start: Instant, due: &[Duration], released: &Semaphore) -> f64 {
    let mut late = super::histogram();
    let mut index = 0;
    while index < due.len() {
        let now = start.elapsed();
        if due[index] > now {
            std::thread::sleep(due[index] - now);
            continue;
        }
        let ready = due[index..].iter().take_while(|at| **at <= now).count();
        for at in &due[index..index + ready] {
            late.saturating_record((now - *at).as_micros() as u64);
        }
        released.add_permits(ready);
        index += ready;
    }
    // Workers that wait for more may end.
    released.close();
    late.value_at_quantile(0.99) as f64 / 1_000.0
}

async fn work(
    mut client: Client,
    start: Instant,
    due: Arc<[Duration]>,
    requests: Arc<[Request]>,
    released: Arc<Semaphore>,
    next: Arc<AtomicUsize>,
) -> Outcome {
    let mut outcome = Outcome::empty();
    loop {
        match released.acquire().await {
            Ok(permit) => permit.forget(),
            // Closed: all have been released, perhaps not all taken.
            Err(_closed) if next.load(Ordering::SeqCst) >= due.len() => return outcome,
            Err(_closed) => {}
        }
        let index = next.fetch_add(1, Ordering::SeqCst);
        if index >= due.len() {
            return outcome;
        }
        let answer = client.send(&requests[index]).await;
        let micros = start.elapsed().saturating_sub(due[index]).as_micros() as u64;
        outcome.note(&answer, micros);
    }
}
