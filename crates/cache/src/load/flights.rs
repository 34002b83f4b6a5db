//! Single flight: of those who want to load one key in this process, one does.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use super::sync::{Mutex, MutexGuard};

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
