//! Response time against throughput, by strategy.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::Session;
use crate::bed::{Api, mean_statement_ms, products_by_popularity};
use crate::load::{ClosedLoop, Keys, Request, closed_loop, open_loop, poisson};
use crate::measure::{Labels, measured};
use crate::results::Run;
use crate::scenario::{Curve, Scenario, span};

/// Seconds of one request at a time, for the price of a single page.
const ALONE_SECONDS: f64 = 3.0;

/// For each strategy: warms up, finds the most that it carries in a closed loop, and offers
/// parts of that in open loops, as well as the rates that the first strategy was offered.
///
/// # Errors
///
/// When a process does not start or the counts disagree.
pub async fn curve(session: &mut Session, scenario: &Scenario) -> Result<()> {
    let url = session.bed.admin_url().to_owned();
    let Some(curve) = &scenario.curve else { return Ok(()) };
    let load = &scenario.load;
    let by_rank: Arc<[u32]> = products_by_popularity(&url).await?.into();
    let keys = Keys::new(by_rank, scenario.workloads[0].exponent(), load.seed);
    let mut first_rates = Vec::new();
    for contender in &scenario.strategies {
        let api = session.api(contender, &url).await?;
        let sweep = Sweep { session, scenario, curve, keys: &keys, api: &api };
        let rates = sweep.sweep(&first_rates).await?;
        if first_rates.is_empty() {
            first_rates = rates;
        }
    }
    Ok(())
}

struct Sweep<'a> {
    session: &'a mut Session,
    scenario: &'a Scenario,
    curve: &'a Curve,
    keys: &'a Keys,
    api: &'a Api,
}

impl Sweep<'_> {
    /// Measures one strategy; the rates of its open loops.
    async fn sweep(self, also: &[f64]) -> Result<Vec<f64>> {
        let curve = self.curve;
        let alone = self.closed("one at a time", 1, ALONE_SECONDS, 0).await?;
        if alone.tiers == "none" && self.session.results().statement_mean_ms.is_none() {
            let (url, role) = (self.api.admin_url(), self.api.role());
            let mean = mean_statement_ms(url, role, "WITH RECURSIVE path").await?;
            self.session.statement_mean_ms(mean);
        }
        self.session.run(alone);
        let connections = self.scenario.load.connections;
        if curve.warm_up_seconds > 0.0 {
            let run = self.closed("warm-up", connections, curve.warm_up_seconds, 1).await?;
            self.session.run(run);
        }
        let most = self.closed("closed loop", connections, curve.saturation_seconds, 2).await?;
        let own = curve.fractions.iter().map(|part| part * most.achieved_rps);
        let mut rates: Vec<f64> = also.iter().copied().chain(own).collect();
        rates.sort_by(f64::total_cmp);
        self.session.run(most);
        for (number, rate) in (3..).zip(&rates) {
            let run = self.open(*rate, number).await?;
            self.session.run(run);
        }
        Ok(rates)
    }

    async fn closed(
        &self,
        what: &str,
        connections: usize,
        seconds: f64,
        stream: u64,
    ) -> Result<Run> {
        let view = self.scenario.view;
        let settings = ClosedLoop {
            targets: self.api.address().into(),
            connections,
            length: span(seconds),
            think: Duration::ZERO,
        };
        let make = |worker: u64| {
            let mut keys = self.keys.worker(stream << 32 | worker);
            move || {
                let key = keys.next_key();
                Request::get(view.path(key)).about(key)
            }
        };
        let labels = Labels { workload: what.to_owned(), ..Labels::default() };
        measured(&self.session.bed, self.api, labels, closed_loop(settings, make)).await
    }

    async fn open(&self, rate: f64, stream: u64) -> Result<Run> {
        let Scenario { view, load, .. } = self.scenario;
        let due = poisson(rate, span(self.curve.seconds), load.seed ^ stream);
        let mut keys = self.keys.worker(stream << 32);
        let drawn = keys.draw(due.len()).into_iter();
        let requests = drawn.map(|key| Request::get(view.path(key)).about(key)).collect();
        let labels = Labels {
            workload: "open loop".to_owned(),
            offered_rps: Some(rate),
            ..Labels::default()
        };
        let load = open_loop(self.api.address().into(), load.connections, due, requests);
        measured(&self.session.bed, self.api, labels, load).await
    }
}
