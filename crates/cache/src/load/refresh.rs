//! XFetch: when to reload a value that is still fresh.

use std::time::Duration;

/// Whether a value that cost `load_cost` to load and stays fresh for `remaining` should be
/// reloaded now; `chance` is drawn evenly from (0, 1].
///
/// The more a load costs, the earlier it begins; each caller decides for itself, so that of
/// many only about one does. Source: A. Vattani, F. Chierichetti, K. Lowenstein, *Optimal
/// Probabilistic Cache Stampede Prevention*, VLDB 2015, figure 3: reload when
/// `now − delta · beta · ln(rand()) ≥ expiry`.
pub(crate) fn is_due(load_cost: Duration, remaining: Duration, beta: f64, chance: f64) -> bool {
    -load_cost.as_secs_f64() * beta * chance.ln() >= remaining.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_early_reloads_is_the_papers() {
        // P(−delta·beta·ln(u) ≥ remaining) = exp(−remaining / (delta·beta)).
        let draws = 100_000;
        for (cost, remaining, beta) in [(10, 10, 1.0), (10, 20, 1.0), (10, 20, 2.0), (5, 30, 1.0)] {
            let (cost, remaining) = (Duration::from_millis(cost), Duration::from_millis(remaining));
            let due = (1..=draws)
                .filter(|draw| is_due(cost, remaining, beta, f64::from(*draw) / f64::from(draws)))
                .count();
            let expected = (-remaining.as_secs_f64() / (cost.as_secs_f64() * beta)).exp();
            let share = due as f64 / f64::from(draws);
            assert!((share - expected).abs() < 1e-4, "{share} {expected}");
        }
    }

    #[test]
    fn never_with_beta_zero_and_always_when_nothing_remains() {
        let cost = Duration::from_secs(9);
        assert!(!is_due(cost, Duration::from_nanos(1), 0.0, 1e-9));
        assert!(is_due(cost, Duration::ZERO, 1.0, 1.0));
    }
}
