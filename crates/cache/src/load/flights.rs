//! Single flight: of those who want to load one key in this process, one does.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Parts of the table, each with a lock of its own.
const PARTS: usize = 64;

/// A part of the table.
type Part<K, T> = Mutex<HashMap<K, Flight<T>>>;

/// The loads under way, by key. Each ends with a `T` that all who joined it get.
#[derive(Debug)]
pub(crate) struct Flights<K, T> {
    parts: Box<[Part<K, T>]>,
    hasher: ahash::RandomState,
}

#[derive(Debug)]
struct Flight<T> {
    outcome: watch::Receiver<Option<T>>,
    number: Arc<()>,
}

/// What wanting to load led to.
pub(crate) enum Joined<K: Hash + Eq, T> {
    /// Nobody was: the caller must see to it, and [`land`](Takeoff::land).
    Leader(Takeoff<K, T>, Passenger<T>),
    /// Another one is.
    Passenger(Passenger<T>),
}

/// The duty to end a flight. Dropped before it has landed, it lets all passengers know.
pub(crate) struct Takeoff<K: Hash + Eq, T> {
    flights: Arc<Flights<K, T>>,
    key: K,
    number: Arc<()>,
    outcome: watch::Sender<Option<T>>,
}

/// One who waits for a flight to end.
pub(crate) struct Passenger<T>(watch::Receiver<Option<T>>);

impl<K: Hash + Eq + Clone, T: Clone> Flights<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hasher: ahash::RandomState::new(),
        }
    }

    /// Joins the flight of `key`, or begins one.
    pub(crate) fn join(self: &Arc<Self>, key: &K) -> Joined<K, T> {
        let mut part = self.part(key);
        if let Some(flight) = part.get(key) {
            return Joined::Passenger(Passenger(flight.outcome.clone()));
        }
        let (outcome, receiver) = watch::channel(None);
        let number = Arc::new(());
        let flight = Flight { outcome: receiver.clone(), number: Arc::clone(&number) };
        part.insert(key.clone(), flight);
        drop(part);
        let takeoff = Takeoff { flights: Arc::clone(self), key: key.clone(), number, outcome };
        Joined::Leader(takeoff, Passenger(receiver))
    }

    /// Whether a load of `key` is under way.
    pub(crate) fn is_flying(&self, key: &K) -> bool {
        self.part(key).contains_key(key)
    }
}

impl<K: Hash + Eq, T> Flights<K, T> {
    /// Nobody joins the present flight of `key` any more: what it brings may be old.
    pub(crate) fn detach(&self, key: &K) {
        self.part(key).remove(key);
    }

    /// The same for all flights.
    pub(crate) fn detach_all(&self) {
        for part in &self.parts {
            part.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn part(&self, key: &K) -> MutexGuard<'_, HashMap<K, Flight<T>>> {
        let index = self.hasher.hash_one(key) as usize % PARTS;
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq, T> Takeoff<K, T> {
    /// Ends the flight: who asks from now on begins another.
    pub(crate) fn land(self, outcome: T) {
        self.leave();
        // Nobody may be waiting any more.
        let _ = self.outcome.send(Some(outcome));
    }

    fn leave(&self) {
        let mut part = self.flights.part(&self.key);
        // It may have been detached, and another one begun.
        if part.get(&self.key).is_some_and(|flight| Arc::ptr_eq(&flight.number, &self.number)) {
            part.remove(&self.key);
        }
    }
}

impl<K: Hash + Eq, T> Drop for Takeoff<K, T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T: Clone> Passenger<T> {
    /// What the flight ended with; `None`: with nothing, its task is gone.
    pub(crate) async fn arrive(mut self) -> Option<T> {
        let outcome = self.0.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(flights: &Arc<Flights<u8, u8>>, key: u8) -> (Takeoff<u8, u8>, Passenger<u8>) {
        match flights.join(&key) {
            Joined::Leader(takeoff, passenger) => (takeoff, passenger),
            Joined::Passenger(_) => panic!("another one leads"),
        }
    }

    fn follow(flights: &Arc<Flights<u8, u8>>, key: u8) -> Passenger<u8> {
        match flights.join(&key) {
            Joined::Leader(..) => panic!("nobody leads"),
            Joined::Passenger(passenger) => passenger,
        }
    }

    #[tokio::test]
    async fn one_leads_and_all_get_what_it_brings() {
        let flights = Arc::new(Flights::new());
        let (takeoff, first) = lead(&flights, 1);
        let second = follow(&flights, 1);
        assert!(flights.is_flying(&1));
        takeoff.land(7);
        assert_eq!((first.arrive().await, second.arrive().await), (Some(7), Some(7)));
        assert!(!flights.is_flying(&1));
    }

    #[tokio::test]
    async fn a_leader_that_is_gone_frees_its_passengers() {
        let flights = Arc::new(Flights::new());
        let (takeoff, first) = lead(&flights, 1);
        let second = follow(&flights, 1);
        drop(takeoff);
        assert_eq!((first.arrive().await, second.arrive().await), (None, None));
        assert!(!flights.is_flying(&1));
    }

    #[tokio::test]
    async fn nobody_joins_a_detached_flight() {
        let flights = Arc::new(Flights::new());
        let (old, passenger) = lead(&flights, 1);
        flights.detach(&1);
        let (new, _) = lead(&flights, 1);
        // The old one's end does not end the new one.
        old.land(1);
        assert_eq!(passenger.arrive().await, Some(1));
        let second = follow(&flights, 1);
        new.land(2);
        assert_eq!(second.arrive().await, Some(2));
    }
}
