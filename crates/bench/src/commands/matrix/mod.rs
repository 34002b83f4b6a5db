//! Every strategy under every load, repeats interleaved, with the floor of what was sent.

mod cells;
mod checks;
mod events;
mod ground;
mod loads;

use anyhow::Result;

pub use self::cells::Selection;
pub(super) use self::loads::FILLING;

use self::cells::{Cell, cells};
use self::checks::checks;
use self::events::events;
use self::ground::Ground;
use self::loads::{Part, offer, warm_up};
use super::Session;
use crate::bed::{ApiSettings, Replicas};
use crate::measure::{
    Labels, Measured, Writes, fewest_loads, forget_environment, measured_by, redis_nodes, used,
};
use crate::results::{Headline, Run, summaries, verdicts, with_events};
use crate::scenario::{Level, Matrix, Scenario, span};

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
    let ground = Ground::of(session.bed.admin_url(), scenario, matrix, file).await?;
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
    let results = session.results();
    let summaries = with_events(summaries(&results.runs), &results.events);
    let verdicts = verdicts(&results.runs);
    session.summed_up(summaries, verdicts, scenario.quick);
    Ok(())
}

/// One run of one cell, with what happens to it afterwards.
async fn one(
    session: &mut Session,
    ground: &Ground<'_>,
    cell: &Cell<'_>,
    repeat: u32,
) -> Result<()> {
    let Matrix { sample, spread, seconds, .. } = ground.matrix;
    let ground = &ground.as_of_now(session.bed.admin_url(), cell).await?;
    let first_id = ground.products.next_id;
    let redis_before_bytes = used(&redis_nodes(&session.bed).await?);
    let settings = ApiSettings {
        connections: cell.connections(ground.scenario) / cell.replicas as usize,
        more: vec![("LARDER__VERIFY__SAMPLE".to_owned(), sample.to_string())],
        ..session.settings(cell.contender, session.bed.admin_url())
    };
    let mut replicas = Replicas::start(&session.bed, settings, cell.replicas, *spread).await?;
    let before = warm_up(session, ground, cell, &replicas, repeat).await?;
    // What the warm-up has made is the newest from now on.
    let ground = &ground.as_of_now(session.bed.admin_url(), cell).await?;
    let labels = Labels {
        workload: cell.workload(),
        offered_rps: match cell.level {
            Level::Rate(rate) => Some(rate),
            Level::Users(_) => None,
            Level::Trace(pace) => ground.recorded(cell).and_then(|all| all.offered_rps(pace)),
        },
        users: match cell.level {
            Level::Rate(_) | Level::Trace(_) => None,
            Level::Users(users) => Some(users),
        },
        floor: None,
        planned_seconds: match cell.level {
            Level::Rate(_) | Level::Users(_) => Some(*seconds),
            Level::Trace(_) => None,
        },
        redis_before_bytes: Some(redis_before_bytes),
    };
    let load = offer(ground, cell, replicas.targets(), span(*seconds), Part::Measured.of(repeat));
    let Measured { run, sent } = measured_by(&session.bed, replicas.apis(), labels, load).await?;
    let writes = Writes::of(&cell.contender.strategy);
    let floor = (!cell.workload.lists())
        .then(|| fewest_loads(&before, &sent, &ground.dependents, cell.contender.ttl(), writes));
    let command = cell.command(ground.file, repeat, run.db_latency_ms);
    let run = Run { repeat, command: Some(command), ..run };
    session.run(run.with_floor(floor));
    if let Level::Rate(rate) = cell.level {
        events(session, ground, cell, rate, repeat, &mut replicas).await?;
    }
    let environment = replicas.environment().to_owned();
    replicas.stop().await;
    session.bed.mend().await?;
    ground.unmake(session.bed.admin_url(), cell, first_id).await?;
    forget_environment(&session.bed, &environment).await
}
