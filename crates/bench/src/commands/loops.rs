//! `--compare-loops`: how a closed loop hides what an open one shows.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::Session;
use crate::bed::products_by_popularity;
use crate::load::{LoopsCompared, Request, Targets, compare_loops};
use crate::results::{LatencyMs, LoopFigures};
use crate::scenario::Scenario;

/// How long the service stands still.
const STALL: Duration = Duration::from_secs(1);
/// How long each loop asks.
const LENGTH: Duration = Duration::from_secs(9);
/// Requests a second of the open loop.
const RATE: f64 = 500.0;

/// Asks the last strategy of `scenario` for one page, in a closed and then in an open loop, and freezes
/// the process for a second during each. The open loop's tail must show that; the closed loop's
/// does not, however long it lasts, for nobody asks meanwhile.
///
/// # Errors
///
/// When a process does not start.
pub async fn loops(session: &mut Session, scenario: &Scenario) -> Result<()> {
    let url = session.bed.admin_url().to_owned();
    let contender = scenario.strategies.last().context("a scenario names strategies")?;
    let page = *products_by_popularity(&url).await?.first().context("there are products")?;
    let api = session.api(contender, &url).await?;
    let request = Request::get(scenario.view.path(page)).about(page);
    api.client().send(&request).await;
    let pid = Pid::from_raw(api.pid()).context("a process has an id")?;
    let freeze = async |after: Duration| {
        tokio::time::sleep(after).await;
        // It cannot be gone: it is ended when `api` is dropped.
        let _ = kill_process(pid, Signal::STOP);
        tokio::time::sleep(STALL).await;
        let _ = kill_process(pid, Signal::CONT);
    };
    let targets = Targets::from(api.address());
    let LoopsCompared { open, closed } =
        compare_loops(&targets, RATE, LENGTH, &request, freeze).await?;
    let figures = LoopFigures {
        stall_ms: STALL.as_secs_f64() * 1e3,
        open: LatencyMs::of(&open.outcome),
        closed: LatencyMs::of(&closed),
    };
    let found = format!(
        "p99.9 {:.0} ms and max {:.0} ms in the open loop, p99.9 {:.1} ms in the closed one",
        figures.open.p999, figures.open.max, figures.closed.p999
    );
    let half = figures.stall_ms / 2.0;
    let holds = figures.open.p999 > half && figures.open.max > half && figures.closed.p999 < half;
    session.check("a stall of 1 s shows in an open loop and hides in a closed one", found, holds);
    session.loops(figures);
    Ok(())
}
