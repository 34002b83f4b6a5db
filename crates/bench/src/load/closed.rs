//! The closed loop: each user asks again when he has his answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Outcome;
use super::client::Request;
use super::sent::{Keep, Keeper, now_us};
use super::targets::{Connections, Targets};

/// Connections that are made at once: a server's queue for new ones is not long.
const CONNECTING: usize = 64;
/// A connection that is not answered for so long is one that nobody accepts.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(30);

/// A closed loop's settings.
#[derive(Clone, Debug)]
pub struct ClosedLoop {
    /// Whom to ask.
    pub targets: Targets,
    /// Users: requests under way at once, each on a keep-alive connection of its own.
    pub connections: usize,
    /// How long the result counts.
    pub length: Duration,
    /// How long a user waits after an answer.
    pub think: Duration,
}

/// Sends requests as fast as answers come; `make(worker)` makes each worker's stream of them. Nothing is
/// kept of them but figures.
///
/// # Errors
///
/// When the server does not accept so many connections.
///
/// # Panics
///
/// When a worker panics.
pub async fn closed_loop<S>(settings: ClosedLoop, make: impl Fn(u64) -> S) -> Result<Outcome>
where
    S: FnMut() -> Request + Send + 'static,
{
    closed_loop_keeping(settings, Keep::Nothing, make).await
}

/// The same, and what `keep` says is kept of the requests.
///
/// # Errors
///
/// When the server does not accept so many connections.
///
/// # Panics
///
/// When a worker panics.
pub async fn closed_loop_keeping<S>(
    settings: ClosedLoop,
    keep: Keep,
    make: impl Fn(u64) -> S,
) -> Result<Outcome>
where
    S: FnMut() -> Request + Send + 'static,
{
    let ClosedLoop { targets, connections, length, think } = settings;
    let clients = connected(&targets, connections).await?;
    let count = Arc::new(AtomicUsize::new(0));
    let keeper = Arc::new(Keeper::new(keep));
    let start = Instant::now();
    let end = start + length;
    let workers: Vec<_> = (0_u64..)
        .zip(clients)
        .map(|(number, mut client)| {
            let (mut next, count) = (make(number), Arc::clone(&count));
            let keeper = Arc::clone(&keeper);
            tokio::spawn(async move {
                let mut outcome = Outcome::empty();
                loop {
                    let sent = Instant::now();
                    if sent >= end {
                        return outcome;
                    }
                    let request = next();
                    let turn = count.fetch_add(1, Ordering::Relaxed);
                    let begun_us = now_us();
                    let answer = client.send(turn, &request).await;
                    let micros = sent.elapsed().as_micros() as u64;
                    if keeper.keeps(&request, &answer) {
                        outcome.note(&request, &answer, begun_us, micros);
                    } else {
                        outcome.count(&answer, micros);
                    }
                    if !think.is_zero() {
                        // Who thinks past the end asks no more.
                        let left = end.saturating_duration_since(Instant::now());
                        tokio::time::sleep(think.min(left)).await;
                    }
                }
            })
        })
        .collect();
    let mut outcome = Outcome::empty();
    for worker in workers {
        outcome.merge(worker.await.expect("a worker does not panic"));
    }
    // To the last answer: all that is counted lies within.
    outcome.seconds = start.elapsed().as_secs_f64();
    Ok(outcome)
}

/// The users' connections, made before the clock runs.
///
/// # Errors
///
/// When one is not answered within `patience`. A refused one is an error of the load instead, request
/// by request.
async fn connect(
    targets: &Targets,
    connections: usize,
    patience: Duration,
) -> Result<Vec<Connections>> {
    let turns = Arc::new(Semaphore::new(CONNECTING));
    let mut connecting = JoinSet::new();
    for number in 0..connections {
        let (targets, turns) = (targets.clone(), Arc::clone(&turns));
        connecting.spawn(async move {
            let _turn = turns.acquire().await.expect("it is never closed");
            let mut client = Connections::new(targets, number);
            tokio::time::timeout(patience, client.open()).await.map(|()| client)
        });
    }
    let mut clients = Vec::with_capacity(connections);
    while let Some(client) = connecting.join_next().await {
        let client = client.expect("connecting does not panic");
        clients.push(client.with_context(|| {
            format!(
                "the service accepted {} of {connections} connections and left the next one without \
                 an answer for {patience:?}: its server.max_connections, or a stall",
                clients.len()
            )
        })?);
    }
    Ok(clients)
}

/// The connections of a load, as [`connect`] makes them.
pub(super) async fn connected(targets: &Targets, connections: usize) -> Result<Vec<Connections>> {
    connect(targets, connections, ACCEPTED_WITHIN).await
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_server_that_accepts_no_more_connections_is_named() {
        // The kernel takes the connection; nobody ever answers on it.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let targets = Targets::from(listener.local_addr().expect("an address"));
        let error = connect(&targets, 3, Duration::from_millis(50)).await.map(drop);
        let message = format!("{:#}", error.expect_err("nobody answers"));
        assert!(message.contains("0 of 3") && message.contains("max_connections"), "{message}");
    }
}
