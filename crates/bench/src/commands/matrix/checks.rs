//! What must hold in the runs of a matrix.

use std::collections::BTreeMap;

use super::Session;
use super::cells::Cell;
use crate::results::{self, DbQueries, Run};
use crate::scenario::Scenario;

/// Notes, for each cell, whether what the scenario demands holds in all its repeats.
pub(super) fn checks(session: &mut Session, scenario: &Scenario, cells: &[Cell<'_>]) {
    for cell in cells {
        let runs = session.results().runs.iter().filter(|run| {
            run.repeat > 0 && results::Cell::of(run) == cell.in_results(run.db_latency_ms)
        });
        let runs: Vec<Run> = runs.cloned().collect();
        let Some(first) = runs.first() else { continue };
        let cell_of_first = results::Cell::of(first);
        let name = format!("{}, {}", cell_of_first.label(), first.workload);
        let queries: Vec<DbQueries> = runs.iter().map(|run| run.db_queries).collect();
        agreement(session, &name, &queries, queries.iter().all(DbQueries::equal));
        let no_errors = scenario.must.no_errors && !scenario.must.may_fail(cell.contender);
        events(session, &name, &cell_of_first, no_errors);
        if no_errors {
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

/// Notes whether both counts `agree` in all of `queries`.
fn agreement(session: &mut Session, name: &str, queries: &[DbQueries], agree: bool) {
    let sum = |of: fn(&DbQueries) -> u64| queries.iter().map(of).sum::<u64>();
    let (counted, postgres) = (sum(|one| one.counted), sum(|one| one.pg_stat_statements));
    let mut found = format!("{counted} counted, {postgres} by Postgres");
    let unknown = sum(|one| one.unknown);
    if unknown > 0 {
        found += &format!(", {unknown} of unknown outcome");
    }
    session.check(&format!("{name}: both counts of statements agree"), found, agree);
}

/// The same of the loads with events.
fn events(session: &mut Session, name: &str, cell: &results::Cell, no_errors: bool) {
    let mut kinds: BTreeMap<String, Vec<DbQueries>> = BTreeMap::new();
    let mut steady_errors = 0;
    for event in session.results().events.iter().filter(|event| event.cell == *cell) {
        kinds.entry(event.name.clone()).or_default().extend(event.db_queries);
        steady_errors += event.steady_errors;
    }
    if no_errors && !kinds.is_empty() {
        let name = format!("{name}, undisturbed beside events: every request is answered");
        session.check(&name, format!("{steady_errors} errors"), steady_errors == 0);
    }
    for (kind, queries) in kinds {
        // What was under way when something broke may have been carried out or not.
        let agree = queries.iter().all(DbQueries::agree);
        agreement(session, &format!("{name}, {kind}"), &queries, agree);
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
