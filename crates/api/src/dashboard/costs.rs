//! What each strategy has cost since it was switched on, in this process.

use std::collections::VecDeque;

use catalog_domain::View;
use catalog_service::{NamespaceSettings, Strategy, Tiers};
use serde::Serialize;

use super::counts::Cost;

/// Strategies that have been switched off are remembered, so many at most.
const REMEMBERED: usize = 20;

/// A namespace under one strategy, from one switch to the next.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Period {
    namespace: &'static str,
    strategy: &'static str,
    tiers: &'static str,
    /// When it began, in milliseconds since the process did.
    began_ms: u64,
    /// How long it has lasted.
    lasted_ms: u64,
    /// Whether it goes on.
    current: bool,
    cost: Cost,
}

/// The periods of all namespaces.
#[derive(Debug, Default)]
pub(super) struct Costs {
    open: [Option<Open>; View::ALL.len()],
    ended: VecDeque<Period>,
}

#[derive(Debug)]
struct Open {
    strategy: Strategy,
    tiers: Tiers,
    began_ms: u64,
    /// What had been counted before.
    base: Cost,
}

impl Costs {
    /// Takes in what is in force and has been counted at `at_ms`. A switch is noticed then: what
    /// came between it and now counts for the strategy before.
    pub(super) fn note(
        &mut self,
        at_ms: u64,
        settings: impl Fn(View) -> NamespaceSettings,
        counted: &[Cost; View::ALL.len()],
    ) {
        for ((view, open), counted) in View::ALL.into_iter().zip(&mut self.open).zip(counted) {
            let NamespaceSettings { strategy, tiers, .. } = settings(view);
            // The first began with the process.
            let (mut began_ms, mut base) = (0, Cost::default());
            if let Some(open) = open.as_ref() {
                if (open.strategy, open.tiers) == (strategy, tiers) {
                    continue;
                }
                let ended = Period { current: false, ..open.period(view, at_ms, counted) };
                self.ended.push_front(ended);
                self.ended.truncate(REMEMBERED);
                (began_ms, base) = (at_ms, *counted);
            }
            *open = Some(Open { strategy, tiers, began_ms, base });
        }
    }

    /// What is in force, then what was, the newest first.
    pub(super) fn periods(&self, at_ms: u64, counted: &[Cost; View::ALL.len()]) -> Vec<Period> {
        let open = View::ALL.into_iter().zip(&self.open).zip(counted);
        open.filter_map(|((view, open), counted)| Some(open.as_ref()?.period(view, at_ms, counted)))
            .chain(self.ended.iter().cloned())
            .collect()
    }
}

impl Open {
    fn period(&self, view: View, at_ms: u64, counted: &Cost) -> Period {
        Period {
            namespace: view.namespace(),
            strategy: self.strategy.as_str(),
            tiers: self.tiers.as_str(),
            began_ms: self.began_ms,
            lasted_ms: at_ms - self.began_ms,
            current: true,
            cost: counted.since(&self.base),
        }
    }
}

#[cfg(test)]
mod tests {
    use larder::{L1Options, NamespaceOptions};

    use super::*;

    fn settings(strategy: Strategy, tiers: Tiers) -> NamespaceSettings {
        NamespaceSettings {
            strategy,
            tiers,
            options: NamespaceOptions::default(),
            l1: L1Options::default(),
        }
    }

    fn cost(reads: u64, read_queries: u64) -> [Cost; View::ALL.len()] {
        [Cost { reads, read_queries, ..Cost::default() }; View::ALL.len()]
    }

    #[test]
    fn a_switch_ends_one_account_and_opens_another() {
        let mut costs = Costs::default();
        let none = |_| settings(Strategy::None, Tiers::None);
        let cached = |view| match view {
            View::ProductPage => settings(Strategy::ReadThrough, Tiers::L1L2),
            View::ProductSummary => settings(Strategy::None, Tiers::None),
        };
        costs.note(1_000, none, &cost(10, 10));
        costs.note(2_000, none, &cost(110, 109));
        costs.note(3_000, cached, &cost(210, 205));
        costs.note(4_000, cached, &cost(310, 206));

        let periods = costs.periods(4_000, &cost(310, 206));
        let shown: Vec<_> = periods
            .iter()
            .map(|of| (of.strategy, of.current, of.lasted_ms, of.cost.reads, of.cost.read_queries))
            .collect();
        assert_eq!(
            shown,
            [
                ("read-through", true, 1_000, 100, 1),
                ("none", true, 4_000, 310, 206),
                ("none", false, 3_000, 210, 205),
            ]
        );
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let mut costs = Costs::default();
        for (at_ms, tiers) in (0..50).zip([Tiers::L1, Tiers::L2].into_iter().cycle()) {
            costs.note(at_ms, |_| settings(Strategy::Ttl, tiers), &cost(0, 0));
        }
        assert_eq!(costs.ended.len(), REMEMBERED);
        assert!(costs.ended[0].began_ms > costs.ended[REMEMBERED - 1].began_ms);
    }
}
