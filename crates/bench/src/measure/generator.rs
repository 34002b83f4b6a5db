//! Whether the load generator was itself what held a run up.

use serde::{Deserialize, Serialize};

/// The part of all cores from which on the generator is taken for the bottleneck.
const BUSY: f64 = 0.85;
/// So late may the latest hundredth of the requests be sent, in milliseconds, for which a
/// connection was free. What is due later than that is the generator's latency, not the server's.
const LATE_MS: f64 = 10.0;

/// What the generator says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Its processor seconds in each second, of `cores`.
    pub cores_used: f64,
    /// The machine's cores, which it shares with what it measures.
    pub cores: usize,
    /// 99th percentile of its own lateness; none in a closed loop.
    pub late_p99_ms: Option<f64>,
    /// Why it does not vouch for the run; none: it does.
    pub not_certified: Option<String>,
}

impl Generator {
    /// Judges a run in which the generator used `cpu_seconds` in `seconds`.
    #[must_use]
    pub fn judge(cpu_seconds: f64, seconds: f64, cores: usize, late_p99_ms: Option<f64>) -> Self {
        let cores_used = if seconds > 0.0 { cpu_seconds / seconds } else { 0.0 };
        let most = BUSY * cores as f64;
        let not_certified = if cores_used > most {
            Some(format!(
                "the load generator used {cores_used:.2} of {cores} cores: it may have been the \
                 bottleneck; use a lower rate, or a larger machine"
            ))
        } else {
            late_p99_ms.filter(|late| *late > LATE_MS).map(|late| {
                format!(
                    "the load generator sent requests up to {late:.1} ms late (p99, bound \
                     {LATE_MS:.0} ms): part of the latency is its own; use a lower rate"
                )
            })
        };
        Self { cores_used, cores, late_p99_ms, not_certified }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_that_was_late_or_busy_does_not_vouch() {
        let judge = |cpu, late| Generator::judge(cpu, 10.0, 2, late).not_certified;
        assert_eq!(judge(8.0, None), None);
        assert_eq!(judge(8.0, Some(9.0)), None);
        assert!(judge(18.0, None).is_some_and(|why| why.contains("1.80 of 2 cores")));
        assert!(judge(8.0, Some(30.0)).is_some_and(|why| why.contains("30.0 ms late")));
    }
}
