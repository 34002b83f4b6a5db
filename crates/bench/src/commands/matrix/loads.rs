//! The loads of a cell: what fills its cache, what warms it up, and what is measured.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::Session;
use super::cells::Cell;
use super::ground::Ground;
use crate::bed::Replicas;
use crate::load::{
    ClosedLoop, Keep, Request, Sent, Spread, Targets, closed_loop_keeping, in_order, open_loop,
    poisson,
};
use crate::measure::{Labels, Loaded, measured_by};
use crate::scenario::{Level, Matrix, Stream, span};
use crate::workload::Pace;

/// Streams of requests that one load may draw from: one for each user, and more than there are users.
const STREAMS: u64 = 1 << 20;

/// Connections that fill a cache, at the most: half of what a process loads at once, so that none is turned away
/// while it makes its connections to Postgres.
pub(in crate::commands) const FILLING: usize = 8;

/// Which load of a repeat: no two of them draw the same requests.
#[derive(Clone, Copy)]
pub(super) enum Part {
    WarmUp = 0,
    Measured = 1,
}

impl Part {
    /// The first of its streams in `repeat`.
    pub(super) const fn of(self, repeat: u32) -> u64 {
        (repeat as u64 * 4 + self as u64) * STREAMS
    }
}

/// One load of a cell, for `length`.
struct Load<'a> {
    ground: &'a Ground<'a>,
    cell: &'a Cell<'a>,
    targets: Targets,
    length: Duration,
    /// The first of its streams.
    stream: u64,
}

/// Fills the cache and warms it up as the scenario says; what was sent.
pub(super) async fn warm_up(
    session: &mut Session,
    ground: &Ground<'_>,
    cell: &Cell<'_>,
    replicas: &Replicas,
    repeat: u32,
) -> Result<Vec<Sent>> {
    let matrix = ground.matrix;
    let labels = || Labels { workload: "warm-up".into(), ..Labels::default() };
    let mut before = Vec::new();
    // Without a cache there is nothing to fill.
    if matrix.fill && cell.contender.tiers != "none" {
        let connections = ground.scenario.load.connections.min(FILLING);
        // Each of every process, whoever asks for it later.
        let targets = match matrix.spread {
            Spread::Sticky => replicas.targets().in_turn(),
            Spread::RoundRobin | Spread::Hashed => replicas.targets(),
        };
        let load = in_order(targets, connections, every_page(ground, cell));
        let filled = measured_by(&session.bed, replicas.apis(), labels(), load).await?;
        let what = format!("fill for {}", named(cell));
        session.counted(&what, &filled.run.db_queries);
        if filled.run.errors > 0 {
            // What it did not get is not in the cache, though the scenario says so.
            let found = format!("{} errors in {} requests", filled.run.errors, filled.run.requests);
            session.check(&format!("{what}: every request is answered"), found, false);
        }
        before = filled.sent;
    }
    if let Some(level) = warm_up_level(matrix, cell) {
        let (targets, stream) = (replicas.targets(), Part::WarmUp.of(repeat));
        let load = Load { ground, cell, targets, length: span(matrix.warm_up_seconds), stream };
        let calm = all_requests(ground, cell).calm();
        let load = async {
            match level {
                Level::Users(users) => load.of_users(users, &calm).await,
                Level::Rate(rate) => load.at(rate, &calm).await,
                Level::Trace(pace) => load.recorded(pace).await,
            }
        };
        let warm = measured_by(&session.bed, replicas.apis(), labels(), load).await?;
        session.counted(&format!("warm-up for {}", named(cell)), &warm.run.db_queries);
        before.extend(warm.sent);
    }
    Ok(before)
}

fn named(cell: &Cell<'_>) -> String {
    format!("{}, {} processes, {}", cell.contender.name(), cell.replicas, cell.workload())
}

/// How the warm-up is offered: at the rate that the scenario says, or else as the cell's own load, so that
/// what it leaves does not depend on the machine; none, where there is none. What is recorded begins with its first
/// step.
fn warm_up_level(matrix: &Matrix, cell: &Cell<'_>) -> Option<Level> {
    let level = matrix.warm_up_rate.map_or(cell.level, Level::Rate);
    let recorded = matches!(cell.level, Level::Trace(_));
    (matrix.warm_up_seconds > 0.0 && !recorded).then_some(level)
}

/// Each page that is asked for once of every process, for each has a tier of its own; of one where all requests
/// for a product go to the same.
fn every_page(ground: &Ground<'_>, cell: &Cell<'_>) -> Arc<[Request]> {
    let each: Vec<u32> = match ground.recorded(cell) {
        Some(recorded) => (1..=recorded.distinct()).collect(),
        None => cell.workload.warm(&ground.products).to_vec(),
    };
    let times = match ground.matrix.spread {
        // The nth request goes to process n.
        Spread::RoundRobin | Spread::Sticky => cell.replicas as usize,
        Spread::Hashed => 1,
    };
    let page = |id: &u32| Request::get(ground.scenario.view.path(*id)).about(*id);
    each.iter().flat_map(|id| std::iter::repeat_n(page(id), times)).collect()
}

/// The load of a cell, for `length`.
pub(super) async fn offer(
    ground: &Ground<'_>,
    cell: &Cell<'_>,
    targets: Targets,
    length: Duration,
    stream: u64,
) -> Result<Loaded> {
    let load = Load { ground, cell, targets, length, stream };
    match cell.level {
        Level::Rate(rate) => load.at(rate, &all_requests(ground, cell)).await,
        Level::Users(users) => load.of_users(users, &all_requests(ground, cell)).await,
        Level::Trace(pace) => load.recorded(pace).await,
    }
}

/// The schedule of an open loop, which is the same for the same stream: when requests are due, and these.
pub(super) fn schedule(
    ground: &Ground<'_>,
    rate: f64,
    length: Duration,
    all: &Stream,
    stream: u64,
) -> (Vec<Duration>, Vec<Request>) {
    let due = poisson(rate, length, ground.scenario.load.seed ^ stream);
    let requests = all.worker(stream).take(due.len());
    (due, requests)
}

impl Load<'_> {
    /// In an open loop.
    async fn at(self, rate: f64, all: &Stream) -> Result<Loaded> {
        let (due, requests) = schedule(self.ground, rate, self.length, all, self.stream);
        let connections = self.ground.scenario.load.connections;
        Ok(open_loop(self.targets, connections, due, requests).await?.into())
    }

    /// In a closed loop.
    async fn of_users(self, users: u32, all: &Stream) -> Result<Loaded> {
        let Self { ground, cell, targets, length, stream } = self;
        let think = Duration::from_millis(ground.matrix.think_ms.into());
        let settings = ClosedLoop { targets, connections: users as usize, length, think };
        let make = |user: u64| {
            let mut requests = all.worker(stream + user);
            move || requests.next_request()
        };
        // How many requests there will be nobody knows, and a floor may need few of them.
        let all_count = cell.workload.writes() || cell.contender.ttl().is_some();
        let keep = if all_count { Keep::All } else { Keep::FirstReads };
        Ok(closed_loop_keeping(settings, keep, make).await?.into())
    }

    /// In the order that was recorded.
    async fn recorded(self, pace: Pace) -> Result<Loaded> {
        let recorded = self.ground.recorded(self.cell).expect("it was read with its scenario");
        let connections = self.ground.scenario.load.connections;
        let requests = recorded.requests(self.ground.scenario.view);
        Ok(match recorded.due(pace) {
            Some(due) => open_loop(self.targets, connections, due, requests).await?.into(),
            None => in_order(self.targets, connections, requests.into()).await?.into(),
        })
    }
}

/// Streams of all that the cell's workload asks for.
pub(super) fn all_requests(ground: &Ground<'_>, cell: &Cell<'_>) -> Stream {
    let (view, seed) = (ground.scenario.view, ground.scenario.load.seed);
    let requests = cell.workload.requests(view, seed, &ground.products);
    requests.expect("the scenario was checked, and there are products")
}
