//! The closed loop: as many requests as there are connections are always under way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Outcome;
use super::client::{Client, Request};

/// A closed loop's settings.
#[derive(Clone, Copy, Debug)]
pub struct ClosedLoop {
    /// Whom to ask.
    pub address: SocketAddr,
    /// Requests under way at once.
    pub connections: usize,
    /// How long the result counts.
    pub length: Duration,
}

/// Sends requests as fast as answers come; `make(worker)` makes each worker's stream of them.
///
/// # Panics
///
/// When a worker panics.
pub async fn closed_loop<S>(settings: ClosedLoop, make: impl Fn(u64) -> S) -> Outcome
where
    S: FnMut() -> Request + Send + 'static,
{
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for _ in 0..settings.connections {
        let mut client = Client::new(settings.address);
        client.send(&Request::get("/healthz")).await;
        clients.push(client);
    }
    let start = Instant::now();
    let workers: Vec<_> = (0_u64..)
        .zip(clients)
        .map(|(number, mut client)| {
            let (mut next, stop) = (make(number), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut outcome = Outcome::empty();
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let answer = client.send(&next()).await;
                    outcome.note(&answer, sent.elapsed().as_micros() as u64);
                }
                outcome
            })
        })
        .collect();
    tokio::time::sleep(settings.length).await;
    stop.store(true, Ordering::Relaxed);
    let mut outcome = Outcome::empty();
    for worker in workers {
        outcome.merge(&worker.await.expect("a worker does not panic"));
    }
    // To the last answer: all that is counted lies within.
    outcome.seconds = start.elapsed().as_secs_f64();
    outcome
}
