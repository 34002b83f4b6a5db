//! One call of the benchmark: its servers, and what has been found so far.

use anyhow::{Result, ensure};
use catalog_repository::PAGE_SQL;
use jiff::Timestamp;

use crate::bed::{Api, ApiSettings, Bed, catalogue_size};
use crate::measure::machine;
use crate::results::{Check, Ratio, Results, Run};
use crate::scenario::{Contender, DataSet};

/// One call of the benchmark.
#[derive(Debug)]
pub struct Session {
    /// The servers.
    pub bed: Bed,
    results: Results,
}

impl Session {
    /// Asks the servers what they are. `command` is the command line.
    ///
    /// # Errors
    ///
    /// When a server does not answer; the bed is handed back to be stopped.
    pub async fn begin(bed: Bed, command: String) -> Result<Self, (Bed, anyhow::Error)> {
        let machine = match machine(&bed).await {
            Ok(machine) => machine,
            Err(error) => return Err((bed, error)),
        };
        let results = Results {
            command,
            started_at: Timestamp::now(),
            machine,
            data_set: String::new(),
            statement: PAGE_SQL.trim().to_owned(),
            statement_mean_ms: None,
            runs: Vec::new(),
            ratios: Vec::new(),
            checks: Vec::new(),
        };
        Ok(Self { bed, results })
    }

    /// Fills the stack's catalogue if it is empty, and notes what is in it.
    ///
    /// # Errors
    ///
    /// When that fails, or there are fewer products than `least`.
    pub async fn catalogue(&mut self, data: DataSet, least: u32) -> Result<()> {
        eprintln!("Catalogue: {} products, {} reviews …", data.products, data.reviews);
        self.bed.seed(data.products, data.reviews)?;
        let (products, reviews) = catalogue_size(self.bed.admin_url()).await?;
        ensure!(
            products >= i64::from(least),
            "the catalogue has {products} products, fewer than the {least} that are asked for: \
             use --stack own, or a larger data.products"
        );
        self.results.data_set = format!(
            "generated catalogue: {products} products with variants, {reviews} reviews spread by \
             a Zipf law"
        );
        Ok(())
    }

    /// Starts an API process under `contender` on the database of `admin_url`.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn api(&self, contender: &Contender, admin_url: &str) -> Result<Api> {
        let settings = ApiSettings {
            strategy: contender.strategy.clone(),
            tiers: contender.tiers.clone(),
            ttl_ms: contender.ttl_ms,
            l1_ttl_ms: contender.l1_ttl_ms,
            admin_url: admin_url.to_owned(),
            ..ApiSettings::default()
        };
        Api::start(&self.bed, settings).await
    }

    /// Keeps a run, and tells of it.
    pub fn run(&mut self, run: Run) {
        let hits = |tier: &str, ratio: Option<f64>| {
            ratio.map_or(String::new(), |ratio| format!(", {tier} hit ratio {ratio:.3}"))
        };
        let hits = hits("L1", run.hit_ratio.l1) + &hits("L2", run.hit_ratio.l2);
        eprintln!(
            "  {:<12} {}: {:.0}/s, mean {:.2} ms, p99 {:.2} ms, {} queries{hits}",
            run.strategy,
            run.workload,
            run.achieved_rps,
            run.latency_ms.mean,
            run.latency_ms.p99,
            run.db_queries.counted,
        );
        self.results.runs.push(run);
    }

    /// Keeps a ratio, and checks its bar.
    pub fn ratio(&mut self, ratio: Ratio) {
        let found = format!(
            "{:.3} (95 % interval {:.3} to {:.3}, {} rounds)",
            ratio.ratio.median,
            ratio.ratio.low,
            ratio.ratio.high,
            ratio.numerator_rps.len()
        );
        eprintln!("  {}: {found}", ratio.name);
        if let Some(bar) = ratio.bar {
            self.check(&format!("{} ≥ {bar}", ratio.name), found, ratio.ratio.median >= bar);
        }
        self.results.ratios.push(ratio);
    }

    /// Notes whether something holds that must.
    pub fn check(&mut self, name: &str, found: String, holds: bool) {
        eprintln!("  {} {name}: {found}", if holds { "holds:" } else { "DOES NOT HOLD:" });
        self.results.checks.push(Check { name: name.to_owned(), found, holds });
    }

    /// Notes what the page's statement costs uncached.
    pub fn statement_mean_ms(&mut self, mean: Option<f64>) {
        self.results.statement_mean_ms = mean;
    }

    /// What has been found so far.
    #[must_use]
    pub const fn results(&self) -> &Results {
        &self.results
    }
}
