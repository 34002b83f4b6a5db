//! Response time against throughput, by strategy, each point measured several times.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::again;
use super::matrix::FILLING;
use super::{Selection, Session};
use crate::bed::{Api, mean_statement_ms, products_by_popularity};
use crate::load::{ClosedLoop, Keys, Request, closed_loop, in_order, open_loop, poisson};
use crate::measure::{Labels, measured};
use crate::results::Run;
use crate::scenario::{Contender, Curve, Scenario, span};

/// Seconds of one request at a time, for the price of a single page.
const ALONE_SECONDS: f64 = 3.0;
/// The streams of open loops are these and the ones above, those of closed loops below.
const OPEN: u64 = 1 << 62;
/// No more repeats than streams have room for.
const MOST_REPEATS: u32 = 100;

/// A part of a scenario that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Every strategy under every load.
    Matrix,
    /// Response time against throughput.
    Curve,
    /// Ratios of throughputs.
    Ratios,
}

impl Part {
    /// Refuses what `scenario`, read from `file`, does not have.
    ///
    /// # Errors
    ///
    /// When it has no such part.
    pub fn check(self, scenario: &Scenario, file: &str) -> Result<()> {
        let (there, name) = match self {
            Self::Matrix => (scenario.matrix.is_some(), "matrix"),
            Self::Curve => (scenario.curve.is_some(), "curve"),
            Self::Ratios => (scenario.ratios.is_some(), "ratios"),
        };
        ensure!(there, "{file}: --part {name}: there is no [{name}] in it");
        Ok(())
    }
}

/// What of a curve is measured; all of it unless something is chosen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CurveChoice {
    /// Only this strategy and these tiers, as [`Contender::name`] says them.
    only: Option<String>,
    /// Only an open loop of so many requests a second.
    rate: Option<u32>,
    /// How many repeats, whatever the scenario says.
    repeats: Option<u32>,
    /// Only this repeat, from 1.
    repeat: Option<u32>,
}

impl CurveChoice {
    /// What `selection` chooses.
    ///
    /// # Errors
    ///
    /// With what would be right.
    pub fn of(selection: &Selection, scenario: &Scenario, file: &str) -> Result<Self> {
        let Selection { only, processes, at, workload, repeats, repeat } = selection;
        ensure!(
            processes.is_none() && workload.is_none(),
            "{file}: --processes and --workload choose within the matrix: a curve has one process, and \
             the first workload's law"
        );
        let names = || scenario.strategies.iter().map(Contender::name);
        if let Some(only) = only
            && !names().any(|name| name == *only)
        {
            let names: Vec<String> = names().collect();
            bail!("{file}: no run is selected: --only is one of {}", names.join(", "));
        }
        let rate = |at: &String| {
            let rate = at.strip_suffix("/s").and_then(|rate| rate.parse::<u32>().ok());
            let rate = rate.filter(|rate| (1..=1_000_000).contains(rate));
            rate.with_context(|| {
                format!("{file}: --at of a curve is a rate such as 500/s, not {at}")
            })
        };
        ensure!(
            repeat.is_none_or(|repeat| repeat <= MOST_REPEATS),
            "{file}: --repeat must be from 1 to {MOST_REPEATS}"
        );
        let rate = at.as_ref().map(rate).transpose()?;
        Ok(Self { only: only.clone(), rate, repeats: *repeats, repeat: *repeat })
    }

    fn takes(&self, contender: &Contender) -> bool {
        self.only.as_ref().is_none_or(|only| *only == contender.name())
    }

    fn repeats(&self, curve: &Curve) -> Vec<u32> {
        match self.repeat {
            Some(repeat) => vec![repeat],
            None => (1..=self.repeats.unwrap_or(curve.repeats)).collect(),
        }
    }
}

/// For each strategy: warms up, finds the most that it carries in a closed loop, and offers parts of that in
/// open loops, as well as the rates that the first strategy was offered. Then all of that is repeated at the
/// same rates, A B C A B C, by the same processes. `file` names the scenario in command lines.
///
/// # Errors
///
/// When a process does not start, a load cannot begin or a counter cannot be read.
pub async fn curve(
    session: &mut Session,
    scenario: &Scenario,
    file: &str,
    choice: &CurveChoice,
) -> Result<()> {
    let Some(curve) = &scenario.curve else { return Ok(()) };
    let url = session.bed.admin_url().to_owned();
    let load = &scenario.load;
    let by_rank = popular(&url, scenario).await?;
    let keys = Keys::new(Arc::clone(&by_rank), scenario.workloads[0].exponent(), load.seed);
    let repeats = choice.repeats(curve);
    let chosen = scenario.strategies.iter().filter(|one| choice.takes(one));
    let mut strands = Vec::new();
    for contender in chosen {
        let api = session.api(contender, &url).await?;
        if curve.fill && contender.tiers != "none" {
            session.working_on(&format!("filling {}", contender.name()));
            filled(session, scenario, contender, &api, &by_rank).await?;
        }
        let rates = choice.rate.map(|rate| vec![rate]);
        strands.push(Strand { contender, api, rates, begun: false });
    }
    session.begin_work(&format!("{file}: curve"), steps(curve, choice, strands.len(), &repeats));
    let sweep = Sweep { scenario, curve, keys: &keys, file };
    let mut first_rates = Vec::new();
    for repeat in repeats {
        for strand in &mut strands {
            session.working_on(&format!("repeat {repeat}: {}", strand.contender.name()));
            let rates = sweep.turn(session, strand, repeat, &first_rates).await?;
            if first_rates.is_empty() {
                first_rates = rates;
            }
        }
    }
    session.end_work();
    session.curve_measured(scenario.quick);
    Ok(())
}

/// The products that the scenario's first workload asks for, most popular first.
pub(super) async fn popular(url: &str, scenario: &Scenario) -> Result<Arc<[u32]>> {
    let mut by_rank = products_by_popularity(url).await?;
    if let Some(products) = scenario.workloads[0].products {
        by_rank.truncate(products as usize);
    }
    Ok(by_rank.into())
}

/// Asks for each of `by_rank` once.
async fn filled(
    session: &mut Session,
    scenario: &Scenario,
    contender: &Contender,
    api: &Api,
    by_rank: &[u32],
) -> Result<()> {
    let connections = scenario.load.connections.min(FILLING);
    let pages = by_rank.iter().map(|id| Request::get(scenario.view.path(*id)).about(*id));
    let load = in_order(api.address().into(), connections, pages.collect());
    let labels = Labels { workload: "fill".to_owned(), ..Labels::default() };
    let run = measured(&session.bed, api, labels, load).await?;
    let name = format!("fill for {}", contender.name());
    session.counted(&name, &run.db_queries);
    ensure!(run.errors == 0, "{name}: {} of {} pages were not answered", run.errors, run.requests);
    Ok(())
}

/// How many runs there will be, or a few more: rates that coincide are one.
fn steps(curve: &Curve, choice: &CurveChoice, strands: usize, repeats: &[u32]) -> usize {
    let own = curve.fractions.len();
    let open = if choice.rate.is_some() { strands } else { (2 * strands - 1) * own };
    let once = if curve.warm_up_seconds > 0.0 { 2 } else { 1 };
    strands * once + repeats.len() * (strands + open)
}

/// One strategy.
struct Strand<'a> {
    contender: &'a Contender,
    api: Api,
    /// The rates that it is offered, once they are known.
    rates: Option<Vec<u32>>,
    /// Whether it has had a turn.
    begun: bool,
}

/// A closed loop.
struct Closed<'a> {
    what: &'a str,
    connections: usize,
    seconds: f64,
    stream: u64,
}

struct Sweep<'a> {
    scenario: &'a Scenario,
    curve: &'a Curve,
    keys: &'a Keys,
    file: &'a str,
}

impl Sweep<'_> {
    /// Measures one strategy once; the rates of its open loops.
    async fn turn(
        &self,
        session: &mut Session,
        strand: &mut Strand<'_>,
        repeat: u32,
        also: &[u32],
    ) -> Result<Vec<u32>> {
        let (curve, connections) = (self.curve, self.scenario.load.connections);
        let stream = |place: u64| u64::from(repeat) * 4 + place;
        let again = self.again(session, strand, repeat, None);
        let is_first = !std::mem::replace(&mut strand.begun, true);
        if is_first {
            let (seconds, stream) = (ALONE_SECONDS, stream(0));
            let alone = Closed { what: "one at a time", connections: 1, seconds, stream };
            let run = self.closed(session, strand, alone).await?;
            self.price(session, strand, &run).await?;
            session.run(Run { command: Some(again.clone()), ..run });
        }
        // Later turns find the cache as it was left, but for what has expired meanwhile.
        let seconds = if is_first { curve.warm_up_seconds } else { curve.saturation_seconds };
        if seconds > 0.0 {
            let warm_up = Closed { what: "warm-up", connections, seconds, stream: stream(1) };
            let run = self.closed(session, strand, warm_up).await?;
            if is_first {
                session.run(Run { command: Some(again.clone()), ..run });
            } else {
                let name = format!("warm-up of {}", strand.contender.name());
                session.counted(&name, &run.db_queries);
            }
        }
        let (seconds, stream) = (curve.saturation_seconds, stream(2));
        let most = Closed { what: "closed loop", connections, seconds, stream };
        let most = self.closed(session, strand, most).await?;
        let rates = strand.rates.get_or_insert_with(|| {
            let own = curve.fractions.iter().map(|part| part * most.achieved_rps);
            let own = own.map(|rate| rate.round().max(1.0) as u32);
            let mut rates: Vec<u32> = also.iter().copied().chain(own).collect();
            rates.sort_unstable();
            rates.dedup();
            rates
        });
        let rates = rates.clone();
        session.run(Run { curve_repeat: repeat, command: Some(again), ..most });
        for rate in &rates {
            let run = self.open(session, strand, repeat, *rate).await?;
            let command = Some(self.again(session, strand, repeat, Some(*rate)));
            session.run(Run { curve_repeat: repeat, command, ..run });
        }
        Ok(rates)
    }

    /// Notes what the page's statement costs, where `run` was without a cache.
    async fn price(&self, session: &mut Session, strand: &Strand<'_>, run: &Run) -> Result<()> {
        if run.tiers == "none" && session.results().statement_mean_ms.is_none() {
            let (url, role) = (strand.api.admin_url(), strand.api.role());
            let mean = mean_statement_ms(url, role, "WITH RECURSIVE path").await?;
            session.statement_mean_ms(mean);
        }
        Ok(())
    }

    /// The command line that makes a run again: the one at `rate`, or all of the strategy's in this repeat.
    fn again(
        &self,
        session: &Session,
        strand: &Strand<'_>,
        repeat: u32,
        rate: Option<u32>,
    ) -> String {
        let mut more = vec!["--only".to_owned(), strand.contender.name()];
        more.extend(["--repeat".to_owned(), repeat.to_string()]);
        if let Some(rate) = rate {
            more.extend(["--at".to_owned(), format!("{rate}/s")]);
        }
        again::part(self.file, "curve", &more, &session.bed)
    }

    async fn closed(
        &self,
        session: &Session,
        strand: &Strand<'_>,
        Closed { what, connections, seconds, stream }: Closed<'_>,
    ) -> Result<Run> {
        let view = self.scenario.view;
        let settings = ClosedLoop {
            targets: strand.api.address().into(),
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
        measured(&session.bed, &strand.api, labels, closed_loop(settings, make)).await
    }

    /// The same repeat at the same rate is the same requests at the same moments.
    async fn open(
        &self,
        session: &Session,
        strand: &Strand<'_>,
        repeat: u32,
        rate: u32,
    ) -> Result<Run> {
        let Scenario { view, load, .. } = self.scenario;
        let stream = OPEN | u64::from(repeat) << 32 | u64::from(rate);
        let due = poisson(f64::from(rate), span(self.curve.seconds), load.seed ^ stream);
        let drawn = self.keys.worker(stream).draw(due.len()).into_iter();
        let requests = drawn.map(|key| Request::get(view.path(key)).about(key)).collect();
        let labels = Labels {
            workload: "open loop".to_owned(),
            offered_rps: Some(f64::from(rate)),
            planned_seconds: Some(self.curve.seconds),
            ..Labels::default()
        };
        let load = open_loop(strand.api.address().into(), load.connections, due, requests);
        measured(&session.bed, &strand.api, labels, load).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(selection: &Selection) -> Result<CurveChoice, String> {
        let scenario = Scenario::product_page(true);
        CurveChoice::of(selection, &scenario, "page.toml").map_err(|error| error.to_string())
    }

    #[test]
    fn a_points_own_command_line_chooses_it_and_what_cannot_be_is_refused() {
        let selection = Selection {
            only: Some("ttl/l2".into()),
            at: Some("1234/s".into()),
            repeat: Some(2),
            ..Selection::default()
        };
        let chosen = choice(&selection).expect("it can be chosen");
        let scenario = Scenario::product_page(true);
        let curve = scenario.curve.as_ref().expect("it has one");
        let taken: Vec<String> = scenario
            .strategies
            .iter()
            .filter(|one| chosen.takes(one))
            .map(Contender::name)
            .collect();
        assert_eq!((taken, chosen.rate), (vec!["ttl/l2".to_owned()], Some(1_234)));
        assert_eq!(chosen.repeats(curve), [2]);
        // Warm-up and one at a time, then the closed loop and the one rate.
        assert_eq!(steps(curve, &chosen, 1, &[2]), 4);
        let all = CurveChoice::default();
        assert_eq!(all.repeats(curve), [1, 2, 3]);
        let points = 4 + 7 * curve.fractions.len();
        assert_eq!(steps(curve, &all, 4, &[1, 2, 3]), 8 + 3 * points);

        for (wrong, said) in [
            (Selection { only: Some("ttl/l1".into()), ..Selection::default() }, "cache-aside/l2"),
            (Selection { at: Some("9 users".into()), ..Selection::default() }, "not 9 users"),
            (Selection { at: Some("0/s".into()), ..Selection::default() }, "such as 500/s"),
            (Selection { processes: Some(2), ..Selection::default() }, "--processes"),
            (Selection { repeat: Some(101), ..Selection::default() }, "from 1 to 100"),
        ] {
            let message = choice(&wrong).expect_err("refused");
            assert!(message.starts_with("page.toml: ") && message.contains(said), "{message}");
        }
    }
}
