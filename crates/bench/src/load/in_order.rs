//! A recorded sequence, sent in its order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::Outcome;
use super::client::{Client, Request};

/// Sends every request once, each when one of `connections` is free for it. With one
/// connection the order of the answers is that of the requests.
///
/// # Panics
///
/// When a worker panics.
pub async fn in_order(
    address: SocketAddr,
    connections: usize,
    requests: Arc<[Request]>,
) -> Outcome {
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
            tokio::spawn(async move {
                let mut client = Client::new(address);
                let mut outcome = Outcome::empty();
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let sent = Instant::now();
                    let answer = client.send(request).await;
                    outcome.note(&answer, sent.elapsed().as_micros() as u64);
                }
                outcome
            })
        })
        .collect();
    let mut outcome = Outcome::empty();
    for worker in workers {
        outcome.merge(&worker.await.expect("a worker does not panic"));
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    outcome
}
