//! The cells of a matrix, and which of them are run.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use crate::load::Spread;
use crate::load::allow_connections;
use crate::results;
use crate::scenario::{Contender, EventKind, Level, Scenario, Workload};

/// Which part of a scenario's matrix is run; all of it unless something is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
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

impl Cell<'_> {
    pub(super) fn workload(&self) -> String {
        format!("{}, {}", self.workload.label(), self.level.label())
    }

    /// What results call it.
    pub(super) fn in_results(&self, db_latency_ms: Option<f64>) -> results::Cell {
        let Contender { strategy, tiers, ttl_ms, l1_ttl_ms, .. } = self.contender.clone();
        let (replicas, workload) = (self.replicas, self.workload());
        results::Cell { strategy, tiers, ttl_ms, l1_ttl_ms, replicas, workload, db_latency_ms }
    }

    /// Connections that it needs at once, to all its processes.
    pub(super) fn connections(&self, scenario: &Scenario) -> usize {
        let each = match self.level {
            Level::Rate(_) | Level::Trace(_) => scenario.load.connections,
            Level::Users(users) => users as usize,
        };
        match scenario.matrix.as_ref().map(|matrix| matrix.spread) {
            // As many to each, and no fewer than there are.
            Some(Spread::Sticky) => each.next_multiple_of(self.replicas as usize),
            _ => each * self.replicas as usize,
        }
    }

    /// The command line that makes this run again.
    pub(super) fn command(&self, file: &str, repeat: u32, db_latency_ms: Option<f64>) -> String {
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
            && chosen
                .iter()
                .any(|cell| matches!(cell.level, Level::Rate(_)) && cell.contender.tiers != "none");
        ensure!(
            own || !killed,
            "{file}: matrix.events: redis-node-loss kills a server, and needs --stack own"
        );
        let most = chosen.iter().map(|cell| cell.connections(scenario)).max().unwrap_or(0);
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
pub(super) fn cells<'a>(scenario: &'a Scenario, selection: &Selection) -> Vec<Cell<'a>> {
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
