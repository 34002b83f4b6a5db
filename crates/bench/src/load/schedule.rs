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
