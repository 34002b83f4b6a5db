//! What must hold in the runs of a matrix.

use super::Session;
use super::matrix::Cell;
use crate::results::{self, Run};
use crate::scenario::Scenario;

/// Notes, for each cell, whether what the scenario demands holds in all its repeats.
pub(super) fn checks(session: &mut Session, scenario: &Scenario, cells: &[Cell<'_>]) {
    for cell in cells {
        let runs = session.results().runs.iter().filter(|run| cell.is_of(run));
        let runs: Vec<Run> = runs.cloned().collect();
        let Some(first) = runs.first() else { continue };
        let name = format!("{}, {}", results::Cell::of(first).label(), first.workload);
        let counted: u64 = runs.iter().map(|run| run.db_queries.counted).sum();
        let postgres: u64 = runs.iter().map(|run| run.db_queries.pg_stat_statements).sum();
        let equal = runs.iter().all(|run| run.db_queries.agree());
        let found = format!("{counted} counted, {postgres} by Postgres");
        session.check(&format!("{name}: both counts of statements agree"), found, equal);
        if scenario.must.no_errors {
            let errors: u64 = runs.iter().map(|run| run.errors).sum();
            let requests: u64 = runs.iter().map(|run| run.requests).sum();
            let found = format!("{errors} errors in {requests} requests");
            session.check(&format!("{name}: every request is answered"), found, errors == 0);
        }
        if scenario.must.within_pool {
            let most = runs.iter().map(|run| run.db_connections.peak).max().unwrap_or(0);
            let bound = runs.iter().map(|run| run.db_connections.bound).min().unwrap_or(0);
            let found = format!("{most} at the most, {bound} allowed");
            let name = format!("{name}: connections to Postgres within the pools' bound");
            session.check(&name, found, most <= bound);
        }
        if let Some(least) = cell.workload.least_efficiency
            && first.tiers != "none"
        {
            efficiency(session, least, &name, &runs);
        }
    }
}

fn efficiency(session: &mut Session, least: f64, name: &str, runs: &[Run]) {
    let values = runs.iter().filter_map(|run| run.query_efficiency);
    let worst = values.fold(f64::INFINITY, f64::min);
    let (floor, loads): (u64, u64) = runs.iter().fold((0, 0), |(floor, loads), run| {
        (floor + run.db_queries.floor.unwrap_or(0), loads + run.db_queries.loads)
    });
    let found = format!(
        "{worst:.4} in the worst of {} repeats; {floor} needed, {loads} loads in all",
        runs.len()
    );
    session.check(&format!("{name}: query efficiency ≥ {least}"), found, worst >= least);
}
