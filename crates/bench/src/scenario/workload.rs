//! What is asked for: which products, and how often they are changed.

use std::sync::Arc;

use serde::Deserialize;

use super::faults::Fault;
use super::{ReadView, Scenario};
use crate::load::{Keys, Request};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Which products, and what is done with them.
    pub requests: Spec,
    /// The query efficiency that cached strategies must reach, if there is one.
    #[serde(default)]
    pub least_efficiency: Option<f64>,
}

/// Which products are asked for, and the part of the requests that change their price.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Spec {
    /// All alike.
    Uniform {
        /// The part of the requests that are changes.
        #[serde(default)]
        updates: f64,
    },
    /// Rank r in proportion to r to the power of minus `exponent`; rank 1 has the most reviews.
    Zipf {
        /// 1 is what is often found.
        exponent: f64,
        /// The part of the requests that are changes.
        #[serde(default)]
        updates: f64,
    },
}

/// A stream of requests: the same for the same seed and number.
#[derive(Debug)]
pub struct Stream {
    keys: Keys,
    view: ReadView,
    writes: f64,
    written: u32,
}

impl Workload {
    /// For people.
    #[must_use]
    pub fn label(&self) -> String {
        let keys = match self.requests {
            Spec::Uniform { .. } => "uniform".to_owned(),
            Spec::Zipf { exponent, .. } => format!("Zipf {exponent}"),
        };
        match self.updates() {
            0.0 => keys,
            updates => format!("{keys}, {:.0} % writes", updates * 100.0),
        }
    }

    const fn updates(&self) -> f64 {
        match self.requests {
            Spec::Uniform { updates } | Spec::Zipf { updates, .. } => updates,
        }
    }

    /// The exponent of the law of popularity; 0: all alike.
    #[must_use]
    pub const fn exponent(&self) -> f64 {
        match self.requests {
            Spec::Uniform { .. } => 0.0,
            Spec::Zipf { exponent, .. } => exponent,
        }
    }

    /// Stream `number` of the scenario's requests over the products `by_rank`.
    #[must_use]
    pub fn stream(&self, scenario: &Scenario, by_rank: &Arc<[u32]>, number: u64) -> Stream {
        let keys = Keys::new(Arc::clone(by_rank), self.exponent(), scenario.load.seed);
        Stream {
            keys: keys.worker(number),
            view: scenario.view,
            writes: self.updates(),
            written: 0,
        }
    }

    pub(super) fn validate(&self) -> Result<(), Fault> {
        let fault = |key: &str, must: &str| {
            Err(Fault { place: format!("workloads.{key}"), must: must.to_owned() })
        };
        if !(0.0..=5.0).contains(&self.exponent()) {
            return fault("requests", "must have an exponent from 0 to 5");
        }
        if !(0.0..=0.9).contains(&self.updates()) {
            return fault("requests", "must have updates from 0 to 0.9");
        }
        if self.least_efficiency.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
            return fault("least_efficiency", "must be from 0 to 1");
        }
        Ok(())
    }
}

impl Stream {
    /// The next request.
    pub fn next_request(&mut self) -> Request {
        let id = self.keys.next_key();
        if self.writes > 0.0 && self.keys.chance() < self.writes {
            self.written += 1;
            // Another price each time: what is the same is no change.
            let minor = 1_000 + (u64::from(self.written) * 7_919 + u64::from(id)) % 90_000;
            let body = format!(r#"{{"price":{{"minor":{minor},"currency":"EUR"}}}}"#);
            return Request::patch(format!("/products/{id}"), body).about(id);
        }
        Request::get(self.view.path(id)).about(id)
    }

    /// The next `count` requests.
    #[must_use]
    pub fn take(&mut self, count: usize) -> Vec<Request> {
        (0..count).map(|_| self.next_request()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_for_the_same_seed_and_has_its_part_of_writes() {
        let scenario = Scenario::product_page();
        let requests = Spec::Zipf { exponent: 1.0, updates: 0.05 };
        let workload = Workload { requests, least_efficiency: None };
        let by_rank: Arc<[u32]> = (1..=1_000).collect();
        let requests = workload.stream(&scenario, &by_rank, 3).take(10_000);
        let again = workload.stream(&scenario, &by_rank, 3).take(10_000);
        let shown = |requests: &[Request]| -> Vec<(String, bool)> {
            requests.iter().map(|r| (r.path.clone(), r.writes())).collect()
        };
        assert_eq!(shown(&requests), shown(&again));
        let other = workload.stream(&scenario, &by_rank, 4).take(10_000);
        assert_ne!(shown(&requests), shown(&other));
        let writes = requests.iter().filter(|request| request.writes()).count();
        // Standard deviation: 22.
        assert!((410..590).contains(&writes), "{writes}");
        assert!(
            requests.iter().all(|request| request.path == format!("/products/{}", request.key))
        );
    }
}
