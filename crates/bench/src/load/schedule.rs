//! When the requests of an open loop are meant to be sent.

use std::time::Duration;

use rand::SeedableRng;
use rand::distr::Distribution;
use rand_chacha::ChaCha8Rng;
use rand_distr::Exp;

/// Arrivals of independent users: `rate` a second on average, for `length`.
///
/// # Panics
///
/// When `rate` is not positive.
#[must_use]
pub fn poisson(rate: f64, length: Duration, seed: u64) -> Vec<Duration> {
    let gaps = Exp::new(rate).expect("the rate is positive");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut at = 0.0;
    let mut arrivals = Vec::new();
    loop {
        at += gaps.sample(&mut random);
        if at >= length.as_secs_f64() {
            return arrivals;
        }
        arrivals.push(Duration::from_secs_f64(at));
    }
}

/// The moments `at_us`, in microseconds from the first one, passed `speed` times as fast as they were
/// recorded. Where all of them are whole seconds, as in access logs, those of one second are spread
/// evenly over it: nobody had them all come at its beginning.
///
/// # Panics
///
/// When `speed` is not positive.
#[must_use]
pub fn recorded(at_us: &[u64], speed: f64) -> Vec<Duration> {
    assert!(speed > 0.0, "time passes");
    const SECOND_US: u64 = 1_000_000;
    let whole = at_us.iter().all(|at| at.is_multiple_of(SECOND_US));
    let mut due = Vec::with_capacity(at_us.len());
    for together in at_us.chunk_by(|one, next| one == next) {
        let apart_us = if whole { SECOND_US as f64 / together.len() as f64 } else { 0.0 };
        let of = |(number, at): (u32, &u64)| *at as f64 + apart_us * f64::from(number);
        let moments = (0..).zip(together).map(of);
        due.extend(moments.map(|at| Duration::from_secs_f64(at / 1e6 / speed)));
    }
    due
}

/// `rate` a second, evenly spaced, for `length`.
#[must_use]
pub fn steady(rate: f64, length: Duration) -> Vec<Duration> {
    let count = (rate * length.as_secs_f64()) as u32;
    (0..count).map(|n| Duration::from_secs_f64(f64::from(n) / rate)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_times_are_kept_or_pass_faster() {
        let at = [0, 1_500, 1_500, 2_000_000];
        let micros = |due: Vec<Duration>| due.iter().map(Duration::as_micros).collect::<Vec<_>>();
        assert_eq!(micros(recorded(&at, 1.0)), [0, 1_500, 1_500, 2_000_000]);
        assert_eq!(micros(recorded(&at, 10.0)), [0, 150, 150, 200_000]);
        assert_eq!(micros(recorded(&at, 0.5)), [0, 3_000, 3_000, 4_000_000]);
        assert!(recorded(&[], 1.0).is_empty());
    }

    #[test]
    fn whole_seconds_are_filled_evenly_and_in_order() {
        let at = [0, 0, 0, 0, 1_000_000, 3_000_000, 3_000_000];
        let due = recorded(&at, 1.0);
        let millis: Vec<u128> = due.iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [0, 250, 500, 750, 1_000, 3_000, 3_500]);
        assert!(recorded(&at, 7.0).is_sorted());
    }

    #[test]
    fn a_schedule_is_the_same_for_the_same_seed_and_has_its_rate() {
        let minute = Duration::from_secs(60);
        let arrivals = poisson(100.0, minute, 1);
        assert_eq!(arrivals, poisson(100.0, minute, 1));
        assert_ne!(arrivals, poisson(100.0, minute, 2));
        assert!(arrivals.is_sorted() && arrivals.iter().all(|at| *at < minute));
        // Standard deviation: sqrt(6000) = 77.
        assert!((5_700..6_300).contains(&arrivals.len()), "{}", arrivals.len());
        assert_eq!(steady(100.0, minute).len(), 6_000);
    }
}
