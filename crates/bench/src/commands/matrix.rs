//! Every strategy under every load, repeats interleaved, with the floor of what was sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::Session;
use super::events::events;
use super::matrix_checks::checks;
use crate::bed::{
    ApiSettings, Replicas, largest_category, pages_that_show, products_by_popularity,
};
use crate::load::{
    ClosedLoop, Request, Sent, Targets, allow_connections, closed_loop, in_order, open_loop,
    poisson,
};
use crate::measure::{
    Dependents, Labels, Loaded, Measured, Writes, fewest_loads, forget_environment, measured_by,
    redis_nodes, used,
};
use crate::results::{Headline, Run, summaries, verdicts};
use crate::scenario::{
    Contender, EventKind, Level, Matrix, Products, Recorded, Scenario, Stream, Workload, span,
};

/// Streams of requests, so that no two loads of one repeat draw the same: this many for each.
const STREAMS: u64 = 1 << 20;

/// Which part of a scenario's matrix is run; all of it unless something is chosen.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Selection {
    /// Only this strategy and these tiers: read-through/l1+l2
    #[arg(long, value_name = "STRATEGY/TIERS")]
    pub only: Option<String>,
    /// Only with so many API processes.
    #[arg(long, value_name = "N")]
    pub processes: Option<u32>,
    /// Only under this load: 500/s, or "100 users"
    #[arg(long, value_name = "LOAD")]
    pub at: Option<String>,
    /// Only the nth workload of the file, from 1.
    #[arg(long, value_name = "N")]
    pub workload: Option<usize>,
    /// How many repeats, whatever the file says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeats: Option<u32>,
    /// Only the nth repeat, from 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: Option<u32>,
}

/// One cell: what is measured in each repeat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<'a> {
    pub(super) contender: &'a Contender,
    pub(super) replicas: u32,
    pub(super) workload: &'a Workload,
    /// From 1.
    pub(super) workload_number: usize,
    pub(super) level: Level,
}

/// What all cells share.
pub(super) struct Ground<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) products: Products,
    pub(super) dependents: Dependents,
    /// The scenario's file, for command lines.
    pub(super) file: &'a str,
}

impl Cell<'_> {
    pub(super) fn workload(&self) -> String {
        format!("{}, {}", self.workload.label(), self.level.label())
    }

    /// Whether `run` is a repeat of it.
    pub(super) fn is_of(&self, run: &Run) -> bool {
        let Contender { strategy, tiers, ttl_ms, l1_ttl_ms, .. } = self.contender;
        run.repeat > 0
            && (&run.strategy, &run.tiers) == (strategy, tiers)
            && (run.ttl_ms, run.l1_ttl_ms) == (*ttl_ms, *l1_ttl_ms)
            && run.replicas == self.replicas
            && run.workload == self.workload()
    }

    /// The command line that makes this run again.
    fn command(&self, file: &str, repeat: u32, db_latency_ms: Option<f64>) -> String {
        let far = db_latency_ms.map_or_else(String::new, |ms| format!(" --db-latency {ms}"));
        let Self { contender, replicas, workload_number, level, .. } = self;
        format!(
            "larder-bench run {file} --only {} --processes {replicas} --workload \
             {workload_number} --at '{}' --repeat {repeat}{far}",
            contender.name(),
            level.label()
        )
    }
}

impl Selection {
    /// Refuses what could only fail once servers run: nothing selected, more connections than this
    /// process may hold, or servers to be broken that are not the benchmark's `own`.
    ///
    /// # Errors
    ///
    /// With what would be right.
    pub fn check(&self, scenario: &Scenario, file: &str, own: bool) -> Result<()> {
        let Some(matrix) = &scenario.matrix else { return Ok(()) };
        let all = cells(scenario, &Self::default());
        let chosen = cells(scenario, self);
        if chosen.is_empty() {
            let names = |of: &dyn Fn(&Cell<'_>) -> String| {
                let names: BTreeSet<String> = all.iter().map(of).collect();
                names.into_iter().collect::<Vec<_>>().join(", ")
            };
            bail!(
                "{file}: no run is selected: --only is one of {}; --processes of {}; --at of {}; \
                 --workload of {}, and not all go together",
                names(&|cell| cell.contender.name()),
                names(&|cell| cell.replicas.to_string()),
                names(&|cell| cell.level.label()),
                names(&|cell| cell.workload_number.to_string()),
            );
        }
        let killed = matrix.events.contains(&EventKind::RedisNodeLoss)
            && chosen.iter().any(|cell| matches!(cell.level, Level::Rate(_)));
        ensure!(
            own || !killed,
            "{file}: matrix.events: redis-node-loss kills a server, and needs --stack own"
        );
        let most = chosen.iter().map(|cell| connections(scenario, cell)).max().unwrap_or(0);
        allow_connections(most).map_err(|message| anyhow::anyhow!("{file}: {message}"))
    }

    fn takes(&self, cell: &Cell<'_>) -> bool {
        let is = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
        is(self.only.as_deref(), &cell.contender.name())
            && is(self.at.as_deref(), &cell.level.label())
            && self.processes.is_none_or(|processes| processes == cell.replicas)
            && self.workload.is_none_or(|number| number == cell.workload_number)
    }
}

/// The cells of a scenario's matrix that are selected.
fn cells<'a>(scenario: &'a Scenario, selection: &Selection) -> Vec<Cell<'a>> {
    let Some(matrix) = &scenario.matrix else { return Vec::new() };
    let mut cells = Vec::new();
    for (workload_number, workload) in (1..).zip(&scenario.workloads) {
        for replicas in &matrix.replicas {
            let levels = match workload.pace() {
                Some(pace) => vec![Level::Trace(pace)],
                None => matrix.levels(),
            };
            for level in levels {
                for contender in &scenario.strategies {
                    let replicas = *replicas;
                    cells.push(Cell { contender, replicas, workload, workload_number, level });
                }
            }
        }
    }
    cells.retain(|cell| selection.takes(cell));
    cells
}

/// Measures every selected cell in each repeat, A B C A B C, each from processes and a cache of its
/// own; what must hold is checked over all repeats. `file` names the scenario in command lines.
///
/// # Errors
///
/// As [`Selection::check`], and when a process does not start or a load cannot begin. Counts that
/// disagree are a check that does not hold.
pub async fn matrix(
    session: &mut Session,
    scenario: &Scenario,
    file: &str,
    selection: &Selection,
) -> Result<()> {
    let Some(matrix) = &scenario.matrix else { return Ok(()) };
    selection.check(scenario, file, session.bed.is_own())?;
    let cells = cells(scenario, selection);
    let url = session.bed.admin_url().to_owned();
    let ground = Ground {
        scenario,
        products: Products {
            by_rank: products_by_popularity(&url).await?.into(),
            category: largest_category(&url).await?.into(),
        },
        dependents: pages_that_show(&url).await?,
        file,
    };
    ensure!(!ground.products.by_rank.is_empty(), "the catalogue has no products");
    session.verdict_is_about(Headline::of(&scenario.strategies));
    let repeats = 1..=selection.repeats.unwrap_or(matrix.repeats);
    let repeats: Vec<u32> = match selection.repeat {
        Some(repeat) => vec![repeat],
        None => repeats.collect(),
    };
    session.begin_work(file, repeats.len() * cells.len());
    for repeat in repeats {
        for cell in &cells {
            session.working_on(&format!(
                "repeat {repeat}: {}, {} processes, {}",
                cell.contender.name(),
                cell.replicas,
                cell.workload()
            ));
            one(session, &ground, cell, repeat).await?;
        }
    }
    session.end_work();
    checks(session, scenario, &cells);
    let runs = &session.results().runs;
    let (summaries, verdicts) = (summaries(runs), verdicts(runs));
    session.summed_up(summaries, verdicts, scenario.quick);
    Ok(())
}

/// Connections that a cell needs at once, to all its processes.
fn connections(scenario: &Scenario, cell: &Cell<'_>) -> usize {
    let each = match cell.level {
        Level::Rate(_) | Level::Trace(_) => scenario.load.connections,
        Level::Users(users) => users as usize,
    };
    each * cell.replicas as usize
}

/// One run of one cell, with what happens to it afterwards.
async fn one(
    session: &mut Session,
    ground: &Ground<'_>,
    cell: &Cell<'_>,
    repeat: u32,
) -> Result<()> {
    let Ground { scenario, .. } = ground;
    let Some(matrix) = &scenario.matrix else { return Ok(()) };
    let redis_before_bytes = used(&redis_nodes(&session.bed).await?);
    let settings = ApiSettings {
        connections: connections(scenario, cell) / cell.replicas as usize,
        more: vec![("LARDER__VERIFY__SAMPLE".to_owned(), matrix.sample.to_string())],
        ..session.settings(cell.contender, session.bed.admin_url())
    };
    let mut replicas =
        Replicas::start(&session.bed, settings, cell.replicas, matrix.spread).await?;
    let before = warm_up(session, ground, cell, matrix, &replicas, repeat).await?;
    let labels = Labels {
        workload: cell.workload(),
        offered_rps: match cell.level {
            Level::Rate(rate) => Some(rate),
            Level::Users(_) => None,
            Level::Trace(pace) => recorded(ground, cell).and_then(|all| all.offered_rps(pace)),
        },
        users: match cell.level {
            Level::Rate(_) | Level::Trace(_) => None,
            Level::Users(users) => Some(users),
        },
        floor: None,
        planned_seconds: match cell.level {
            Level::Rate(_) | Level::Users(_) => Some(matrix.seconds),
            Level::Trace(_) => None,
        },
        redis_before_bytes: Some(redis_before_bytes),
    };
    let load =
        offer(ground, cell, replicas.targets(), span(matrix.seconds), repeat_stream(repeat) + 1);
    let Measured { run, sent } = measured_by(&session.bed, replicas.apis(), labels, load).await?;
    let floor = floor(ground, cell, &before, &sent);
    let command = cell.command(ground.file, repeat, run.db_latency_ms);
    let run = Run { repeat, command: Some(command), ..run };
    session.run(run.with_floor(Some(floor)));
    if let Level::Rate(rate) = cell.level {
        events(session, ground, cell, rate, repeat, &mut replicas).await?;
    }
    let environment = replicas.environment().to_owned();
    replicas.stop().await;
    session.bed.mend().await?;
    forget_environment(&session.bed, &environment).await
}

/// Fills the cache and warms it up as the scenario says; what was sent.
async fn warm_up(
    session: &mut Session,
    ground: &Ground<'_>,
    cell: &Cell<'_>,
    matrix: &Matrix,
    replicas: &Replicas,
    repeat: u32,
) -> Result<Vec<Sent>> {
    let Ground { scenario, products, .. } = ground;
    let labels = || Labels { workload: "warm-up".into(), ..Labels::default() };
    let mut before = Vec::new();
    if matrix.fill {
        let each: Vec<u32> = match recorded(ground, cell) {
            Some(recorded) => (1..=recorded.distinct()).collect(),
            None => cell.workload.asked_for(products).to_vec(),
        };
        let requests: Arc<[Request]> =
            each.iter().map(|id| Request::get(scenario.view.path(*id)).about(*id)).collect();
        let load = in_order(replicas.targets(), scenario.load.connections, requests);
        let filled = measured_by(&session.bed, replicas.apis(), labels(), load).await?;
        session.counted(&format!("fill of {}", cell.workload()), &filled.run.db_queries);
        before = filled.sent;
    }
    let users = match cell.level {
        Level::Rate(_) => Some(scenario.load.connections),
        Level::Users(users) => Some(users as usize),
        // What is recorded begins with its first step.
        Level::Trace(_) => None,
    };
    if let Some(users) = users.filter(|_| matrix.warm_up_seconds > 0.0) {
        let (length, stream) = (span(matrix.warm_up_seconds), repeat_stream(repeat));
        let load = users_loop(ground, cell, replicas.targets(), users, length, stream);
        let warm = measured_by(&session.bed, replicas.apis(), labels(), load).await?;
        session.counted(&format!("warm-up of {}", cell.workload()), &warm.run.db_queries);
        before.extend(warm.sent);
    }
    Ok(before)
}

/// The first stream of a repeat; users have the ones after it.
const fn repeat_stream(repeat: u32) -> u64 {
    repeat as u64 * 16 * STREAMS
}

fn floor(ground: &Ground<'_>, cell: &Cell<'_>, before: &[Sent], sent: &[Sent]) -> u64 {
    let Contender { strategy, ttl_ms, .. } = cell.contender;
    let ttl = (*ttl_ms > 0).then(|| Duration::from_millis(*ttl_ms));
    // With no cache the floor is that of a coherent one.
    let writes = match strategy.as_str() {
        "ttl" => Writes::Untold,
        "write-through" => Writes::Publish,
        _ => Writes::Invalidate,
    };
    fewest_loads(before, sent, &ground.dependents, ttl, writes)
}

/// The load of a cell, for `length`.
pub(super) async fn offer(
    ground: &Ground<'_>,
    cell: &Cell<'_>,
    targets: Targets,
    length: Duration,
    stream: u64,
) -> Result<Loaded> {
    Ok(match cell.level {
        Level::Rate(rate) => {
            let load = &ground.scenario.load;
            let due = poisson(rate, length, load.seed ^ stream);
            let requests = requests(ground, cell, due.len(), stream);
            open_loop(targets, load.connections, due, requests).await?.into()
        }
        Level::Users(users) => {
            users_loop(ground, cell, targets, users as usize, length, stream).await?
        }
        Level::Trace(pace) => {
            let recorded = recorded(ground, cell).expect("it was read with its scenario");
            let connections = ground.scenario.load.connections;
            let requests = recorded.requests(ground.scenario.view);
            match recorded.due(pace) {
                Some(due) => open_loop(targets, connections, due, requests).await?.into(),
                None => in_order(targets, connections, requests.into()).await?.into(),
            }
        }
    })
}

/// The sequence of a cell whose workload is recorded.
fn recorded<'a>(ground: &Ground<'a>, cell: &Cell<'_>) -> Option<&'a Recorded> {
    ground.scenario.recorded.get(cell.workload_number - 1)?.as_deref()
}

/// The first `count` requests of a stream.
pub(super) fn requests(
    ground: &Ground<'_>,
    cell: &Cell<'_>,
    count: usize,
    stream: u64,
) -> Vec<Request> {
    all_requests(ground, cell).worker(stream).take(count)
}

fn all_requests(ground: &Ground<'_>, cell: &Cell<'_>) -> Stream {
    let Scenario { view, load, .. } = ground.scenario;
    let requests = cell.workload.requests(*view, load.seed, &ground.products);
    requests.expect("the scenario was checked, and there are products")
}

async fn users_loop(
    ground: &Ground<'_>,
    cell: &Cell<'_>,
    targets: Targets,
    users: usize,
    length: Duration,
    stream: u64,
) -> Result<Loaded> {
    let matrix = ground.scenario.matrix.as_ref();
    let think = Duration::from_millis(matrix.map_or(0, |matrix| matrix.think_ms).into());
    let settings = ClosedLoop { targets, connections: users, length, think };
    let all = all_requests(ground, cell);
    let make = |user: u64| {
        let mut stream = all.worker(stream + STREAMS + user);
        move || stream.next_request()
    };
    Ok(closed_loop(settings, make).await?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runs_own_command_line_selects_it_and_nothing_else() {
        let scenario = Scenario::strategies(true);
        let all = cells(&scenario, &Selection::default());
        assert_eq!(all.len(), scenario.strategies.len());
        let wanted = &all[2];
        let selection = Selection {
            only: Some(wanted.contender.name()),
            processes: Some(wanted.replicas),
            at: Some(wanted.level.label()),
            workload: Some(wanted.workload_number),
            ..Selection::default()
        };
        let selected = cells(&scenario, &selection);
        assert_eq!(selected.len(), 1);
        assert_eq!(selected[0].contender, wanted.contender);
        let command = wanted.command("quick.toml", 2, None);
        let shown = "larder-bench run quick.toml --only read-through/l1+l2 --processes 2 \
                     --workload 1 --at '500/s' --repeat 2";
        assert_eq!(command, shown);
        let far = wanted.command("quick.toml", 2, Some(2.5));
        assert_eq!(far, format!("{shown} --db-latency 2.5"));
    }

    #[test]
    fn what_could_only_fail_later_is_refused_with_what_would_be_right() {
        let mut scenario = Scenario::strategies(true);
        let refused = |scenario: &Scenario, selection: &Selection, own: bool| {
            selection.check(scenario, "quick.toml", own).map_err(|error| error.to_string())
        };
        let all = Selection::default();
        assert_eq!(refused(&scenario, &all, false), Ok(()));
        let typo = Selection { only: Some("read-trough/l2".into()), ..Selection::default() };
        let message = refused(&scenario, &typo, true).expect_err("no such strategy");
        assert!(message.contains("--only is one of cache-aside/l2, none/none"), "{message}");
        let at = Selection { at: Some("500".into()), ..Selection::default() };
        let message = refused(&scenario, &at, true).expect_err("no such load");
        assert!(message.contains("--at of 500/s;"), "{message}");
        if let Some(matrix) = &mut scenario.matrix {
            matrix.events = vec![EventKind::RedisNodeLoss];
        }
        assert_eq!(refused(&scenario, &all, true), Ok(()));
        let message = refused(&scenario, &all, false).expect_err("not ours to kill");
        assert!(message.contains("--stack own"), "{message}");
        if let Some(matrix) = &mut scenario.matrix {
            matrix.users = vec![4_000_000_000];
        }
        let message = refused(&scenario, &all, true).expect_err("too many connections");
        assert!(message.contains("ulimit -Hn"), "{message}");
    }
}
