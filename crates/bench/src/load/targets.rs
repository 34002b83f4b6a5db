//! Whom a load asks, and how its requests are spread over several processes.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::client::{Answer, Client, Request};

/// How requests are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// One after the other, as most load balancers do.
    #[default]
    RoundRobin,
    /// All requests for one product go to the same process: each L1 holds a part of them.
    Hashed,
    /// All requests of one connection go to the same process, as behind a load balancer that spreads connections.
    Sticky,
}

/// The processes that are asked. Which ones these are may change while a load runs.
#[derive(Clone, Debug)]
pub struct Targets {
    addresses: Arc<RwLock<Vec<SocketAddr>>>,
    spread: Spread,
}

impl Targets {
    /// Requests spread over `addresses`.
    ///
    /// # Panics
    ///
    /// When there are none.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>, spread: Spread) -> Self {
        assert!(!addresses.is_empty(), "a load asks somebody");
        Self { addresses: Arc::new(RwLock::new(addresses)), spread }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// From now on `new` is asked where `old` was.
    pub fn replace(&self, old: SocketAddr, new: SocketAddr) {
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        for address in addresses.iter_mut().filter(|address| **address == old) {
            *address = new;
        }
    }

    /// The same processes, asked one after the other.
    #[must_use]
    pub fn in_turn(self) -> Self {
        Self { spread: Spread::RoundRobin, ..self }
    }

    /// Who is asked by request `number`, which is about `key`, on connection `connection`.
    fn pick(&self, number: usize, key: u32, connection: usize) -> SocketAddr {
        let addresses = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        let place = match self.spread {
            Spread::RoundRobin => number,
            Spread::Sticky => connection,
            // Fibonacci hashing: neighbouring ids go to different processes.
            Spread::Hashed => (u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize,
        };
        addresses[place % addresses.len()]
    }
}

impl From<SocketAddr> for Targets {
    fn from(address: SocketAddr) -> Self {
        Self::new(vec![address], Spread::RoundRobin)
    }
}

/// One worker's connections: one to each process that it has asked.
#[derive(Debug)]
pub(super) struct Connections {
    targets: Targets,
    /// Which of a load's workers it is.
    number: usize,
    clients: Vec<Client>,
}

impl Connections {
    pub(super) const fn new(targets: Targets, number: usize) -> Self {
        Self { targets, number, clients: Vec::new() }
    }

    /// Connects before anything is timed.
    pub(super) async fn open(&mut self) {
        for number in 0..self.targets.count() {
            self.send(number, &Request::get("/healthz")).await;
        }
    }

    /// Sends `request`, the `number`th.
    pub(super) async fn send(&mut self, number: usize, request: &Request) -> Answer {
        let address = self.targets.pick(number, request.key, self.number);
        let place = match self.clients.iter().position(|client| client.address() == address) {
            Some(place) => place,
            None => {
                self.clients.push(Client::new(address));
                self.clients.len() - 1
            }
        };
        self.clients[place].send(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
    }

    #[test]
    fn requests_are_spread_evenly_one_way_and_by_key_the_other() {
        let turns = Targets::new(addresses(3), Spread::RoundRobin);
        let asked: Vec<u16> = (0..6).map(|number| turns.pick(number, 7, 0).port()).collect();
        assert_eq!(asked, [1, 2, 3, 1, 2, 3]);

        let hashed = Targets::new(addresses(4), Spread::Hashed);
        let mut shares = [0_u32; 4];
        for key in 1..=10_000 {
            let port = hashed.pick(0, key, 0).port();
            assert_eq!(hashed.pick(9, key, 5).port(), port);
            shares[usize::from(port) - 1] += 1;
        }
        assert!(shares.iter().all(|share| (2_200..2_800).contains(share)), "{shares:?}");

        let sticky = Targets::new(addresses(2), Spread::Sticky);
        let asked = |connection| [1, 2, 3].map(|number| sticky.pick(number, 7, connection).port());
        assert_eq!((asked(4), asked(5)), ([1; 3], [2; 3]));
        let turns = sticky.in_turn();
        assert_eq!([turns.pick(0, 7, 4).port(), turns.pick(1, 7, 4).port()], [1, 2]);
    }

    #[test]
    fn a_process_that_was_replaced_is_not_asked_again() {
        let targets = Targets::new(addresses(2), Spread::RoundRobin);
        let other = targets.clone();
        targets
            .replace(SocketAddr::from(([127, 0, 0, 1], 2)), SocketAddr::from(([127, 0, 0, 1], 9)));
        assert_eq!([other.pick(0, 0, 0).port(), other.pick(1, 0, 0).port()], [1, 9]);
    }
}
