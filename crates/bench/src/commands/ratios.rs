//! How much faster a cached page is, and how close to a page that is not computed at all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::curve::popular;
use super::{Session, again};
use crate::bed::Api;
use crate::load::{ClosedLoop, Keys, Request, closed_loop};
use crate::measure::{Cpu, Labels, measured, median, median_interval};
use crate::results::{Ratio, Run, Standing};
use crate::scenario::{Contender, ReadView, Rounds, Scenario, span};

/// A page from L2 reaches at least this part of the same server's static body …
const AGAINST_STATIC: f64 = 0.45;
/// … and this of a handler that does one GET of as many bytes.
const AGAINST_BARE_GET: f64 = 0.90;
/// A page from L1 reaches at least this part of the static body.
const L1_AGAINST_STATIC: f64 = 0.90;
/// A cached page is served at least so many times as often as an uncached one.
const AGAINST_NONE: f64 = 20.0;

/// Measures in paired rounds: a static body, one bare GET from Redis, the page from L1, from L2 and
/// uncached, the summary from L2 and uncached. All ask for the same drawn products in the same order, in a
/// closed loop, and what is cached has been filled before. `file` names the scenario in command lines.
///
/// # Errors
///
/// When a process does not start, the counts disagree, or a page is not cached.
pub async fn ratios(session: &mut Session, scenario: &Scenario, file: &str) -> Result<()> {
    let Some(rounds) = scenario.ratios else { return Ok(()) };
    let url = session.bed.admin_url().to_owned();
    let by_rank = popular(&url, scenario).await?;
    let load = &scenario.load;
    let drawn: Arc<[u32]> =
        Keys::new(by_rank, scenario.workloads[0].exponent(), load.seed).draw(rounds.draws).into();
    let cached = session.api(&Contender::cache_aside(), &url).await?;
    let uncached = session.api(&Contender::none(), &url).await?;
    let in_process = session.api(&Contender::l1(), &url).await?;
    let bytes = fill(&cached, &drawn).await?;
    fill(&in_process, &drawn).await?;
    let paths = |view: ReadView| -> Arc<[Request]> {
        drawn.iter().map(|id| Request::get(view.path(*id))).collect()
    };
    let pages = paths(ReadView::ProductPage);
    let summaries = paths(ReadView::ProductSummary);
    let yardstick = |name: &str| -> Arc<[Request]> {
        [Request::get(format!("/bench/{name}?bytes={bytes}"))].into()
    };
    let mut sides = [
        Side::new("static body", &cached, yardstick("static")),
        Side::new("one bare GET", &cached, yardstick("redis")),
        Side::new("page from L1", &in_process, Arc::clone(&pages)),
        Side::new("page from L2", &cached, Arc::clone(&pages)),
        Side::new("page uncached", &uncached, pages),
        Side::new("summary from L2", &cached, Arc::clone(&summaries)),
        Side::new("summary uncached", &uncached, summaries),
    ];
    let name = format!(
        "{file}: ratios in {} rounds of {} s, pages of {bytes} bytes on average",
        rounds.rounds, rounds.seconds
    );
    session.begin_work(&name, rounds.rounds as usize * sides.len());
    for round in 0..rounds.rounds as usize {
        // Each round begins elsewhere, so that no side always follows the same other.
        for place in 0..sides.len() {
            let side = (round + place) % sides.len();
            session.working_on(&format!("round {}: {}", round + 1, sides[side].name));
            let run = sides[side].round(session, load.connections, rounds, round).await?;
            session.counted(&format!("{}, round {}", run.workload, round + 1), &run.db_queries);
            sides[side].rounds.push(run);
            session.step();
        }
    }
    session.end_work();

    let [still, bare, page_l1, page, page_none, summary, summary_none] = &sides;
    for (name, above, below, bar) in [
        ("cached page / static body", page, still, Some(AGAINST_STATIC)),
        ("cached page / one bare GET", page, bare, Some(AGAINST_BARE_GET)),
        ("page from L1 / static body", page_l1, still, Some(L1_AGAINST_STATIC)),
        ("cached page / no cache", page, page_none, Some(AGAINST_NONE)),
        ("cached summary / no cache", summary, summary_none, None),
    ] {
        session.ratio(ratio(name, above, below, bar));
    }
    let loads: u64 =
        [page_l1, page, summary].iter().flat_map(|s| &s.rounds).map(|r| r.db_queries.loads).sum();
    session.check("cached rounds load nothing", format!("{loads} loads"), loads == 0);
    let command = again::part(file, "ratios", &[], &session.bed);
    let middle: Vec<Run> = sides.iter().map(Side::middle).collect();
    for run in middle {
        session.run(Run { command: Some(command.clone()), ..run });
    }
    Ok(())
}

/// One side of a comparison.
struct Side<'a> {
    name: &'static str,
    api: &'a Api,
    requests: Arc<[Request]>,
    rounds: Vec<Run>,
}

impl<'a> Side<'a> {
    fn new(name: &'static str, api: &'a Api, requests: Arc<[Request]>) -> Self {
        Self { name, api, requests, rounds: Vec::new() }
    }

    async fn round(
        &self,
        session: &Session,
        connections: usize,
        Rounds { rounds, seconds, .. }: Rounds,
        round: usize,
    ) -> Result<Run> {
        let rounds = rounds as usize;
        let settings = ClosedLoop {
            targets: self.api.address().into(),
            connections,
            length: span(seconds),
            think: Duration::ZERO,
        };
        let make = |worker: u64| {
            let requests = Arc::clone(&self.requests);
            // Every worker begins elsewhere in the same sequence, and in every round: what is slow
            // does not get through its share of it in one.
            let begin = (worker as usize * rounds + round) * requests.len();
            let mut next = begin / (connections * rounds);
            move || {
                next = (next + 1) % requests.len();
                requests[next].clone()
            }
        };
        let labels = Labels { workload: format!("ratios: {}", self.name), ..Labels::default() };
        let run = measured(&session.bed, self.api, labels, closed_loop(settings, make)).await?;
        ensure!(run.errors == 0, "{}: {} of {} failed", self.name, run.errors, run.requests);
        Ok(run)
    }

    /// The round whose throughput is the median.
    fn middle(&self) -> Run {
        let mut rounds: Vec<&Run> = self.rounds.iter().collect();
        rounds.sort_by(|a, b| a.achieved_rps.total_cmp(&b.achieved_rps));
        rounds[rounds.len() / 2].clone()
    }

    fn rates(&self) -> Vec<f64> {
        self.rounds.iter().map(|run| run.achieved_rps).collect()
    }

    /// Requests for each processor second of the servers, of each round; none where one used too little to
    /// be measured.
    fn per_cpu_second(&self) -> Option<Vec<f64>> {
        let each = self.rounds.iter().map(|run| {
            let seconds = run.cpu_seconds.servers();
            (seconds > 0.0).then(|| run.requests as f64 / seconds)
        });
        each.collect()
    }

    /// Processor microseconds per request: medians over the rounds.
    fn cpu_us(&self) -> Cpu {
        let of = |part: fn(&Cpu) -> f64| {
            let each: Vec<f64> = self
                .rounds
                .iter()
                .map(|run| part(&run.cpu_seconds) * 1e6 / run.requests.max(1) as f64)
                .collect();
            median(&each)
        };
        Cpu {
            api: of(|cpu| cpu.api),
            postgres: of(|cpu| cpu.postgres),
            redis: of(|cpu| cpu.redis),
            generator: of(|cpu| cpu.generator),
        }
    }
}

fn ratio(name: &str, above: &Side<'_>, below: &Side<'_>, bar: Option<f64>) -> Ratio {
    let (numerator_rps, denominator_rps) = (above.rates(), below.rates());
    let paired = |above: &[f64], below: &[f64]| {
        let each: Vec<f64> = above.iter().zip(below).map(|(a, b)| a / b).collect();
        median_interval(&each)
    };
    let ratio = paired(&numerator_rps, &denominator_rps);
    let by_cpu = above.per_cpu_second().zip(below.per_cpu_second());
    Ratio {
        name: name.to_owned(),
        ratio,
        by_server_cpu: by_cpu.map(|(above, below)| paired(&above, &below)),
        numerator_rps,
        denominator_rps,
        numerator_cpu_us: above.cpu_us(),
        denominator_cpu_us: below.cpu_us(),
        bar,
        standing: bar.map(|bar| Standing::of(ratio, bar)),
    }
}

/// Asks for page and summary of every drawn product once; the mean length of a drawn page.
async fn fill(api: &Api, drawn: &[u32]) -> Result<usize> {
    let distinct: BTreeSet<u32> = drawn.iter().copied().collect();
    eprintln!("Filling {} pages …", distinct.len());
    let mut client = api.client();
    let mut bytes = std::collections::HashMap::new();
    for id in distinct {
        for view in [ReadView::ProductPage, ReadView::ProductSummary] {
            let answer = client.send(&Request::get(view.path(id))).await;
            ensure!(answer.ok, "{} was answered {}", view.path(id), answer.status);
            if view == ReadView::ProductPage {
                bytes.insert(id, answer.bytes);
            }
        }
    }
    Ok(drawn.iter().map(|id| bytes[id]).sum::<usize>() / drawn.len())
}
