//! The open loop: requests are sent when they are due, and timed from then.
//!
//! A closed loop waits for an answer before it asks again; while the server stalls it sends
//! nothing, and so it hardly notices (coordinated omission: G. Tene, *How NOT to Measure
//! Latency*, 2013). Here a stall delays all that was due meanwhile, and each delay counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use super::client::Request;
use super::closed::connected;
use super::sent::now_us;
use super::targets::{Connections, Targets};
use super::{Outcome, histogram};

/// After the last request is due, so long is waited for answers; the rest are errors.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open loop's result.
#[derive(Clone, Debug)]
pub struct OpenLoop {
    /// What it met with.
    pub outcome: Outcome,
    /// 99th percentile of how late requests were sent for which a connection was free, in
    /// milliseconds: the generator's own fault, not the server's.
    pub late_p99_ms: f64,
}

/// What the workers of one open loop share.
struct Shared {
    due: Vec<Duration>,
    requests: Vec<Request>,
    /// When no answer is waited for any more.
    end: Instant,
    released: Semaphore,
    next: AtomicUsize,
    /// Connections on which no answer is awaited.
    idle: AtomicUsize,
}

/// Sends `requests[i]` when `due[i]` has passed, over `connections` connections. A request that is not
/// answered by the end is an error that lasted from when it was due until then.
///
/// # Errors
///
/// When the server does not accept so many connections.
///
/// # Panics
///
/// When there are fewer requests than times, or a worker panics.
pub async fn open_loop(
    targets: Targets,
    connections: usize,
    due: Vec<Duration>,
    requests: Vec<Request>,
) -> Result<OpenLoop> {
    assert!(requests.len() >= due.len(), "a request for every time");
    // Connections are made before the clock runs.
    let clients = connected(&targets, connections).await?;
    let start = Instant::now();
    let end = start + due.last().copied().unwrap_or_default() + PATIENCE;
    let shared = Arc::new(Shared {
        due,
        requests,
        end,
        released: Semaphore::new(0),
        next: AtomicUsize::new(0),
        idle: AtomicUsize::new(connections),
    });

    let pacer = {
        let shared = Arc::clone(&shared);
        // A thread of its own: Tokio's timers tick in milliseconds.
        std::thread::spawn(move || pace(start, &shared.due, &shared.released))
    };
    let workers: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(work(client, start, Arc::clone(&shared))))
        .collect();
    let mut outcome = Outcome::empty();
    let mut late = histogram();
    for worker in workers {
        let (part, own) = worker.await.expect("a worker does not panic");
        outcome.merge(part);
        late.add(&own).expect("all histograms have the same bounds");
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    let pacing_p99_ms = pacer.join().unwrap_or(f64::INFINITY);
    let late_p99_ms = pacing_p99_ms.max(late.value_at_quantile(0.99) as f64 / 1_000.0);
    Ok(OpenLoop { outcome, late_p99_ms })
}

/// Releases each request when it is due; returns how late the latest hundredth was, in
/// milliseconds.
pub(crate) fn pace(start: Instant, due: &[Duration], released: &Semaphore) -> f64 {
    let mut late = histogram();
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

/// Sends what is released, one at a time; what it met with, and how late it was by its own fault.
async fn work(
    mut client: Connections,
    start: Instant,
    shared: Arc<Shared>,
) -> (Outcome, Histogram<u64>) {
    let mut outcome = Outcome::empty();
    let mut late = histogram();
    loop {
        match shared.released.acquire().await {
            Ok(permit) => permit.forget(),
            // Closed: all have been released, perhaps not all taken.
            Err(_closed) if shared.next.load(Ordering::SeqCst) >= shared.due.len() => {
                return (outcome, late);
            }
            Err(_closed) => {}
        }
        let index = shared.next.fetch_add(1, Ordering::SeqCst);
        let (Some(due), Some(request)) = (shared.due.get(index), shared.requests.get(index)) else {
            return (outcome, late);
        };
        let lasted_us = || start.elapsed().saturating_sub(*due).as_micros() as u64;
        if Instant::now() >= shared.end {
            // No connection came free for it in time.
            outcome.unanswered(lasted_us());
            continue;
        }
        // With all connections in use it is the server who is waited for.
        let others_idle = shared.idle.fetch_sub(1, Ordering::SeqCst) > 1;
        if others_idle && shared.released.available_permits() == 0 {
            late.saturating_record(lasted_us());
        }
        let begun_us = now_us();
        let answer = timeout_at(shared.end.into(), client.send(index, request)).await;
        shared.idle.fetch_add(1, Ordering::SeqCst);
        match answer {
            Ok(answer) => outcome.note(request, &answer, begun_us, lasted_us()),
            Err(_elapsed) => outcome.unanswered(lasted_us()),
        }
    }
}
