//! Flights, step by step.

use std::sync::Arc;

use super::{Flights, Joined, Passenger, Takeoff};

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
