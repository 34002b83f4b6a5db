//! One call of the benchmark: its servers, and what has been found so far.

use anyhow::{Result, ensure};
use catalog_repository::PAGE_SQL;
use jiff::Timestamp;

use super::progress::Progress;
use crate::bed::{Api, ApiSettings, Bed, catalogue_size};
use crate::measure::machine;
use crate::results::{
    Check, DbQueries, Event, Headline, LoopFigures, Ratio, Results, Run, Standing, Summary,
    Verdict, curve_points, summaries, verdicts, with_events,
};
use crate::scenario::{Contender, DataSet};

/// One call of the benchmark.
#[derive(Debug)]
pub struct Session {
    /// The servers.
    pub bed: Bed,
    results: Results,
    progress: Progress,
}

impl Session {
    /// Asks the servers what they are. `command` is the command line.
    ///
    /// # Errors
    ///
    /// When a server does not answer; the bed is handed back to be stopped.
    pub async fn begin(mut bed: Bed, command: String) -> Result<Self, (Bed, anyhow::Error)> {
        if let Err(error) = bed.find_postgres().await {
            return Err((bed, error));
        }
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
            quick: false,
            broken_off: None,
            runs: Vec::new(),
            summaries: Vec::new(),
            verdicts: Vec::new(),
            headline: None,
            curve: Vec::new(),
            events: Vec::new(),
            loops: None,
            ratios: Vec::new(),
            checks: Vec::new(),
        };
        Ok(Self { bed, results, progress: Progress::default() })
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

    /// How an API process is configured under `contender` on the database of `admin_url`.
    #[must_use]
    pub fn settings(&self, contender: &Contender, admin_url: &str) -> ApiSettings {
        ApiSettings {
            strategy: contender.strategy.clone(),
            tiers: contender.tiers.clone(),
            ttl_ms: contender.ttl_ms,
            l1_ttl_ms: contender.l1_ttl_ms,
            admin_url: admin_url.to_owned(),
            ..ApiSettings::default()
        }
    }

    /// Starts an API process under `contender` on the database of `admin_url`.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn api(&self, contender: &Contender, admin_url: &str) -> Result<Api> {
        Api::start(&self.bed, self.settings(contender, admin_url)).await
    }

    /// Begins to show how many of `steps` runs are done.
    pub fn begin_work(&mut self, name: &str, steps: usize) {
        self.progress.begin(name, steps, "runs");
    }

    /// Begins to show how many of `count` requests are sent.
    pub(super) fn begin_requests(&mut self, name: &str, count: usize) {
        self.progress.begin(name, count, "requests");
    }

    /// Shows what is being measured.
    pub fn working_on(&self, what: &str) {
        self.progress.on(what);
    }

    /// Tells that one more step is done, and what came of it.
    pub fn done(&self, what: &str) {
        self.progress.say(&format!("  {what}"));
        self.progress.step();
    }

    /// One more step is done.
    pub fn step(&self) {
        self.progress.step();
    }

    /// How it is shown what is under way.
    pub(super) const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Shows no more.
    pub fn end_work(&mut self) {
        self.progress.end();
    }

    /// Keeps a run, and tells of it.
    pub fn run(&mut self, run: Run) {
        let part = |name: &str, value: Option<f64>| {
            value.map_or(String::new(), |value| format!(", {name} {value:.3}"))
        };
        let figures = [
            ("L1 hit ratio", run.hit_ratio.l1),
            ("L2 hit ratio", run.hit_ratio.l2),
            ("efficiency", run.query_efficiency),
        ];
        let figures: String = figures.map(|(name, value)| part(name, value)).concat();
        self.progress.say(&format!(
            "  {:<12} {:<5} {}: {:.0}/s, mean {:.2} ms, p99 {:.2} ms, {} queries{figures}{}",
            run.strategy,
            run.tiers,
            run.workload,
            run.achieved_rps,
            run.latency_ms.mean,
            run.latency_ms.p99,
            run.db_queries.counted,
            if run.errors > 0 { format!(", {} ERRORS", run.errors) } else { String::new() },
        ));
        if let Some(why) = &run.generator.not_certified {
            self.progress.say(&format!("    not certified: {why}"));
        }
        self.progress.step();
        let repeat = run.any_repeat().unwrap_or(1);
        let what = format!("{}, {}, repeat {repeat}", run.strategy, run.workload);
        self.counted(&what, &run.db_queries);
        self.results.runs.push(run);
    }

    /// Notes a check that does not hold where the two counts of `what`, in which nothing was broken on purpose,
    /// are not equal.
    pub fn counted(&mut self, what: &str, queries: &DbQueries) {
        self.agreed(what, queries, queries.equal());
    }

    fn agreed(&mut self, what: &str, queries: &DbQueries, agree: bool) {
        if !agree {
            let name = format!("{what}: both counts of statements agree");
            self.check(&name, queries.both(), false);
        }
    }

    /// Keeps what something that happened has cost.
    pub fn event(&mut self, event: Event) {
        self.progress.say(&format!(
            "  {:<12} {:<5} {}: {} queries more, {} errors, p99 {:.1} ms (was {:.1})",
            event.cell.strategy,
            event.cell.tiers,
            event.name,
            event.cost_queries,
            event.errors,
            event.p99_ms,
            event.steady_p99_ms
        ));
        if let Some(queries) = &event.db_queries {
            let what = format!("{}, {}", event.cell.label(), event.name);
            self.agreed(&what, queries, queries.agree());
        }
        self.results.events.push(event);
    }

    /// Keeps what two loops saw of the same stall.
    pub fn loops(&mut self, figures: LoopFigures) {
        self.results.loops = Some(figures);
    }

    /// Keeps which strategy the verdict will be about.
    pub fn verdict_is_about(&mut self, headline: Option<Headline>) {
        self.results.headline = headline;
    }

    /// Sums up the points of the curves; of a scenario that is `quick`, nothing is a claim.
    pub fn curve_measured(&mut self, quick: bool) {
        self.results.curve = curve_points(&self.results.runs);
        self.results.quick |= quick;
    }

    /// Keeps what all runs come to.
    pub fn summed_up(&mut self, summaries: Vec<Summary>, verdicts: Vec<Verdict>, quick: bool) {
        self.results.summaries = summaries;
        self.results.verdicts = verdicts;
        self.results.quick |= quick;
    }

    /// Keeps a ratio, and checks its bar.
    pub fn ratio(&mut self, ratio: Ratio) {
        let found = format!(
            "{:.3} ({} interval {:.3} to {:.3}, {} rounds)",
            ratio.ratio.median,
            ratio.ratio.confidence(),
            ratio.ratio.low,
            ratio.ratio.high,
            ratio.numerator_rps.len()
        );
        let by_cpu = ratio.by_server_cpu.map_or_else(String::new, |ratio| {
            format!("; by server CPU {:.3} ({:.3} to {:.3})", ratio.median, ratio.low, ratio.high)
        });
        self.progress.say(&format!("  {}: {found}{by_cpu}", ratio.name));
        if let Some((bar, standing)) = ratio.bar.zip(ratio.standing) {
            self.judged(&format!("{} ≥ {bar}", ratio.name), found, standing);
        }
        self.results.ratios.push(ratio);
    }

    /// Notes where a figure with an interval stands against its bar.
    fn judged(&mut self, name: &str, found: String, standing: Standing) {
        self.keep(Check {
            name: name.to_owned(),
            found,
            holds: standing.passes(),
            standing: Some(standing),
        });
    }

    /// Notes whether something holds that must.
    pub fn check(&mut self, name: &str, found: String, holds: bool) {
        self.keep(Check::exact(name.to_owned(), found, holds));
    }

    fn keep(&mut self, check: Check) {
        self.progress.say(&format!("  {}: {}: {}", check.words(), check.name, check.found));
        self.results.checks.push(check);
    }

    /// Notes what the page's statement costs uncached.
    pub fn statement_mean_ms(&mut self, mean: Option<f64>) {
        self.results.statement_mean_ms = mean;
    }

    /// Notes that it ended early, and sums up what there is; nothing of it is a claim.
    pub fn broken_off(&mut self, why: String) {
        let results = &mut self.results;
        results.summaries = with_events(summaries(&results.runs), &results.events);
        results.verdicts = verdicts(&results.runs);
        results.curve = curve_points(&results.runs);
        results.curve.iter_mut().for_each(|point| point.claim = false);
        results.summaries.iter_mut().for_each(|summary| summary.claim = false);
        results.verdicts.iter_mut().for_each(|verdict| verdict.claim = false);
        results.broken_off = Some(why);
    }

    /// What has been found so far.
    #[must_use]
    pub const fn results(&self) -> &Results {
        &self.results
    }
}
