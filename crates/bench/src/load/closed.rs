//! The closed loop: each user asks again when he has his answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::Outcome;
use super::client::Request;
use super::sent::now_us;
use super::targets::{Connections, Targets};

/// Connections that are made at once: a server's queue for new ones is not long.
const CONNECTING: usize = 64;

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

/// Sends requests as fast as answers come; `make(worker)` makes each worker's stream of them.
///
/// # Panics
///
/// When a worker panics.
pub async fn closed_loop<S>(settings: ClosedLoop, make: impl Fn(u64) -> S) -> Outcome
where
    S: FnMut() -> Request + Send + 'static,
{
    let ClosedLoop { targets, connections, length, think } = settings;
    let clients = connect(&targets, connections).await;
    let stop = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let workers: Vec<_> = (0_u64..)
        .zip(clients)
        .map(|(number, mut client)| {
            let (mut next, stop, count) = (make(number), Arc::clone(&stop), Arc::clone(&count));
            tokio::spawn(async move {
                let mut outcome = Outcome::empty();
                while !stop.load(Ordering::Relaxed) {
                    let request = next();
                    let turn = count.fetch_add(1, Ordering::Relaxed);
                    let (sent, begun_us) = (Instant::now(), now_us());
                    let answer = client.send(turn, &request).await;
                    outcome.note(&request, &answer, begun_us, sent.elapsed().as_micros() as u64);
                    if !think.is_zero() {
                        tokio::time::sleep(think).await;
                    }
                }
                outcome
            })
        })
        .collect();
    tokio::time::sleep(length).await;
    stop.store(true, Ordering::Relaxed);
    let mut outcome = Outcome::empty();
    for worker in workers {
        outcome.merge(worker.await.expect("a worker does not panic"));
    }
    // To the last answer: all that is counted lies within.
    outcome.seconds = start.elapsed().as_secs_f64();
    outcome
}

/// The users' connections, made before the clock runs.
pub(super) async fn connect(targets: &Targets, connections: usize) -> Vec<Connections> {
    let turns = Arc::new(Semaphore::new(CONNECTING));
    let connecting: Vec<_> = (0..connections)
        .map(|_| {
            let (targets, turns) = (targets.clone(), Arc::clone(&turns));
            tokio::spawn(async move {
                let _turn = turns.acquire().await.expect("it is never closed");
                let mut client = Connections::new(targets);
                client.open().await;
                client
            })
        })
        .collect();
    let mut clients = Vec::with_capacity(connections);
    for client in connecting {
        clients.push(client.await.expect("connecting does not panic"));
    }
    clients
}
