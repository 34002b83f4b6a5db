//! What must hold in the runs of a matrix.

use super::Session;
use crate::results::{Run, repeats};
use crate::scenario::Scenario;

/// Notes, for each cell, whether what the scenario demands holds in all its repeats.
pub(super) fn checks(session: &mut Session, scenario: &Scenario) {
    let cells: Vec<(String, Vec<Run>)> = repeats(&session.results().runs)
        .into_iter()
        .map(|(cell, runs)| {
            let name = format!("{}, {}", cell.label(), cell.workload);
            (name, runs.into_iter().cloned().collect())
        })
        .collect();
    for (name, runs) in cells {
        let counted: u64 = runs.iter().map(|run| run.db_queries.counted).sum();
        let postgres: u64 = runs.iter().map(|run| run.db_queries.pg_stat_statements).sum();
        let equal = runs.iter().all(|run| {
            let queries = &run.db_queries;
            let most = queries.counted + queries.unknown;
            (queries.counted..=most).contains(&queries.pg_stat_statements)
        });
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
        if runs[0].tiers != "none" {
            efficiency(session, scenario, &name, &runs);
        }
    }
}

fn efficiency(session: &mut Session, scenario: &Scenario, name: &str, runs: &[Run]) {
    let workload = scenario
        .workloads
        .iter()
        .filter(|workload| {
            let label = format!("{}, ", workload.label());
            runs[0].workload.strip_prefix(&label).is_some_and(|level| !level.contains(','))
        })
        .find_map(|workload| workload.least_efficiency);
    let Some(least) = workload else { return };
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
