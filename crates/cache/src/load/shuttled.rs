//! Flights in thousands of orders of their steps: the same code over Shuttle's locks.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use shuttle::thread;

use self::flights::{Flights, Joined};

#[expect(clippy::duplicate_mod, reason = "the point is to compile it over other locks")]
#[path = "flights.rs"]
mod flights;

/// The locks of the flights.
mod sync {
    pub(super) use shuttle::sync::{Mutex, MutexGuard};
}

const KEY: u8 = 1;
/// Orders tried, by each way to choose them.
const ORDERS: usize = 3_000;
/// Preemptions that the second way places: Burckhardt et al., *A Randomized Scheduler with
/// Probabilistic Guarantees of Finding Bugs*, ASPLOS 2010.
const DEPTH: usize = 3;

type Table = Arc<Flights<u8, u64>>;

fn in_many_orders(test: impl Fn() + Copy + Send + Sync + 'static) {
    shuttle::check_random(test, ORDERS);
    shuttle::check_pct(test, ORDERS, DEPTH);
}

/// Wants the key as the cache does: leads and reads `origin`, or waits for who leads.
fn want(flights: &Table, origin: &AtomicU64) -> Option<u64> {
    match flights.join(&KEY) {
        Joined::Leader(takeoff, passenger) => {
            let read = origin.load(SeqCst);
            thread::yield_now();
            takeoff.land(read);
            block_on(passenger.arrive())
        }
        Joined::Passenger(passenger) => block_on(passenger.arrive()),
    }
}

#[test]
fn one_leads_at_a_time_and_nobody_waits_for_ever() {
    in_many_orders(|| {
        let flights: Table = Arc::new(Flights::new());
        let leading = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (flights, leading) = (Arc::clone(&flights), Arc::clone(&leading));
                thread::spawn(move || match flights.join(&KEY) {
                    Joined::Leader(takeoff, passenger) => {
                        assert_eq!(leading.fetch_add(1, SeqCst), 0, "two lead");
                        thread::yield_now();
                        leading.fetch_sub(1, SeqCst);
                        takeoff.land(7);
                        block_on(passenger.arrive())
                    }
                    Joined::Passenger(passenger) => block_on(passenger.arrive()),
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.join().expect("no panic"), Some(7));
        }
        assert!(!flights.is_flying(&KEY));
    });
}

#[test]
fn who_asks_after_a_write_does_not_get_what_was_read_before_it() {
    in_many_orders(|| {
        let flights: Table = Arc::new(Flights::new());
        let origin = Arc::new(AtomicU64::new(1));
        let written = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let flights = Arc::clone(&flights);
                let (origin, written) = (Arc::clone(&origin), Arc::clone(&written));
                thread::spawn(move || {
                    let after = written.load(SeqCst);
                    let read = want(&flights, &origin).expect("nobody gives up");
                    assert!(!after || read == 2, "read before the write, answered after it");
                })
            })
            .collect();
        origin.store(2, SeqCst);
        if shuttle::rand::Rng::gen_bool(&mut shuttle::rand::thread_rng(), 0.5) {
            flights.detach(&KEY);
        } else {
            flights.detach_all();
        }
        written.store(true, SeqCst);
        for reader in readers {
            reader.join().expect("no panic");
        }
        assert_eq!(want(&flights, &origin), Some(2));
    });
}

#[test]
fn a_leader_that_goes_frees_all_who_wait() {
    in_many_orders(|| {
        let flights: Table = Arc::new(Flights::new());
        let gone = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let (flights, gone) = (Arc::clone(&flights), Arc::clone(&gone));
                thread::spawn(move || {
                    loop {
                        match flights.join(&KEY) {
                            Joined::Leader(takeoff, passenger) => {
                                thread::yield_now();
                                if !gone.swap(true, SeqCst) {
                                    drop(takeoff);
                                    assert_eq!(block_on(passenger.arrive()), None);
                                    continue;
                                }
                                takeoff.land(7);
                                return block_on(passenger.arrive());
                            }
                            Joined::Passenger(passenger) => {
                                if let Some(outcome) = block_on(passenger.arrive()) {
                                    return Some(outcome);
                                }
                            }
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.join().expect("no panic"), Some(7));
        }
        assert!(!flights.is_flying(&KEY));
    });
}
