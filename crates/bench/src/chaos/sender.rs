//! One client: it sends to any process, and knows what it does not know.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{sleep, timeout};

use super::load::Shared;
use super::record::Outcome;
use crate::load::{Client, Request};

/// Longer than the API lets any request take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a process may take to accept a connection.
const CONNECTING: Duration = Duration::from_secs(1);
/// How long a client waits when nobody listened.
const PAUSE: Duration = Duration::from_millis(20);

/// Where the processes listen, by their number: a process that was started again listens elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Ports(Arc<[AtomicU16]>);

/// A client's connections.
#[derive(Debug)]
pub(super) struct Sender {
    ports: Ports,
    /// By process, with the port that each is for.
    clients: Vec<(u16, Client)>,
    random: ChaCha8Rng,
}

/// What became of a write, and what else its answer says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// `Larder-Version`.
    pub(super) versions: String,
}

impl Ports {
    pub(super) fn new(ports: impl IntoIterator<Item = u16>) -> Self {
        Self(ports.into_iter().map(AtomicU16::new).collect())
    }

    pub(super) fn set(&self, process: usize, port: u16) {
        self.0[process].store(port, Ordering::Relaxed);
    }

    fn get(&self, process: usize) -> u16 {
        self.0[process].load(Ordering::Relaxed)
    }
}

fn client(port: u16) -> Client {
    Client::new(SocketAddr::from(([127, 0, 0, 1], port)))
}

impl Sender {
    pub(super) fn new(ports: &Ports, seed: u64, number: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(number);
        let clients = (0..ports.0.len()).map(|process| ports.get(process));
        let clients = clients.map(|port| (port, client(port))).collect();
        Self { ports: ports.clone(), clients, random }
    }

    /// Sends a write to a process that listens; `None`: the load ended before anything was sent.
    pub(super) async fn write(&mut self, shared: &Shared, request: &Request) -> Option<Answer> {
        let response = self.ask(shared, request, None).await?;
        let header = |response: &Response<Bytes>, name: &str| {
            let text = response.headers().get(name)?.to_str().ok()?;
            Some(text.to_owned())
        };
        let (outcome, versions) = match &response {
            Some(response) => match response.status().as_u16() {
                200 | 202 => {
                    shared.pulse.beat();
                    let position = header(response, "larder-position");
                    let position = position.and_then(|text| text.parse().ok());
                    let versions = header(response, "larder-version");
                    (Outcome::Acknowledged(position), versions.unwrap_or_default())
                }
                400..500 => (Outcome::Refused, String::new()),
                _ => (Outcome::Unknown, String::new()),
            },
            None => (Outcome::Unknown, String::new()),
        };
        Some(Answer { outcome, versions })
    }

    /// Sends `request` to a process that listens. `None`: the load ended before anything was sent;
    /// `Some(None)`: there was no answer.
    pub(super) async fn ask(
        &mut self,
        shared: &Shared,
        request: &Request,
        header: Option<(&str, &str)>,
    ) -> Option<Option<Response<Bytes>>> {
        loop {
            let process = self.random.random_range(0..self.clients.len());
            let port = self.ports.get(process);
            let (known, connected) = &mut self.clients[process];
            if *known != port {
                (*known, *connected) = (port, client(port));
            }
            // A request goes out only over a connection: what fails before has sent nothing.
            if matches!(timeout(CONNECTING, connected.connect()).await, Ok(Ok(()))) {
                let answer = timeout(PATIENCE, connected.respond(request, header)).await;
                if let Ok(Ok(response)) = answer {
                    return Some(Some(response));
                }
                // With the answer to this one a connection is of no use to the next.
                *connected = client(port);
                return Some(None);
            }
            if shared.is_over() {
                return None;
            }
            sleep(PAUSE).await;
        }
    }
}
