//! A recorded sequence, sent in its order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;

use super::Outcome;
use super::client::Request;
use super::closed::connected;
use super::sent::now_us;
use super::targets::Targets;

/// Sends every request once, each when one of `connections` is free for it. With one
/// connection the order of the answers is that of the requests.
///
/// # Errors
///
/// When the server does not accept so many connections.
///
/// # Panics
///
/// When a worker panics.
pub async fn in_order(
    targets: Targets,
    connections: usize,
    requests: Arc<[Request]>,
) -> Result<Outcome> {
    in_order_counted(targets, connections, requests, Arc::default()).await
}

/// The same; meanwhile `next` tells how many are under way or answered.
///
/// # Errors
///
/// As [`in_order`].
///
/// # Panics
///
/// As [`in_order`].
pub async fn in_order_counted(
    targets: Targets,
    connections: usize,
    requests: Arc<[Request]>,
    next: Arc<AtomicUsize>,
) -> Result<Outcome> {
    let clients = connected(&targets, connections).await?;
    let start = Instant::now();
    let workers: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
            tokio::spawn(async move {
                let mut outcome = Outcome::empty();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(request) = requests.get(index) else { return outcome };
                    let (sent, begun_us) = (Instant::now(), now_us());
                    let answer = client.send(index, request).await;
                    outcome.note(request, &answer, begun_us, sent.elapsed().as_micros() as u64);
                }
            })
        })
        .collect();
    let mut outcome = Outcome::empty();
    for worker in workers {
        outcome.merge(worker.await.expect("a worker does not panic"));
    }
    outcome.seconds = start.elapsed().as_secs_f64();
    Ok(outcome)
}
